import { readFileSync, statSync } from 'node:fs';
import { SandboxError } from '@sandbox-backend/protocol';
import { type GroupRow, type PasswdRow, parseGroup, parsePasswd } from './database.ts';

export type User = {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
  /** Groups besides `gid`. */
  supplementary: number[];
};

/** Looks users and groups up in the image's own files, without its C library; read again when they change. */
export class Users {
  private readonly passwd: CachedFile<PasswdRow>;
  private readonly group: CachedFile<GroupRow>;

  constructor(passwdFile: string, groupFile: string) {
    this.passwd = new CachedFile(passwdFile, parsePasswd);
    this.group = new CachedFile(groupFile, parseGroup);
  }

  /** By name, or by uid for a name that is a number. An image without users has root all the same. */
  find(name: string): User {
    const row =
      this.passwd.rows().find((candidate) => candidate.name === name) ??
      (/^\d+$/.test(name)
        ? this.passwd.rows().find((candidate) => candidate.uid === Number(name))
        : undefined) ??
      (name === 'root' ? ROOT : undefined);
    if (!row) throw new SandboxError('unauthenticated', `invalid username: '${name}'`);
    const supplementary: number[] = [];
    for (const { gid, members } of this.group.rows()) {
      if (gid !== row.gid && members.includes(row.name)) supplementary.push(gid);
    }
    return { ...row, supplementary };
  }

  userName(uid: number): string {
    return this.passwd.rows().find((row) => row.uid === uid)?.name ?? String(uid);
  }

  groupName(gid: number): string {
    return this.group.rows().find((row) => row.gid === gid)?.name ?? String(gid);
  }
}

const ROOT: PasswdRow = { name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/sh' };

class CachedFile<Row> {
  private readonly path: string;
  private readonly parse: (text: string) => Row[];
  private stamp = '';
  private cached: Row[] = [];

  constructor(path: string, parse: (text: string) => Row[]) {
    this.path = path;
    this.parse = parse;
  }

  rows(): Row[] {
    const stat = statSync(this.path, { throwIfNoEntry: false });
    const stamp = stat ? `${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.ctimeMs}` : '';
    if (stamp !== this.stamp) {
      this.cached = stat ? this.parse(readFileSync(this.path, 'utf8')) : [];
      this.stamp = stamp;
    }
    return this.cached;
  }
}
