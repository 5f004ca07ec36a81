export type PasswdRow = { name: string; uid: number; gid: number; home: string; shell: string };
export type GroupRow = { name: string; gid: number; members: string[] };

const isId = (text: string | undefined) => text !== undefined && /^\d{1,10}$/.test(text);

/** passwd(5); a line that is not a user is left out. */
export function parsePasswd(text: string): PasswdRow[] {
  const rows: PasswdRow[] = [];
  for (const line of text.split('\n')) {
    const [name, , uid, gid, , home, shell] = line.split(':');
    if (!name || name.startsWith('#') || !isId(uid) || !isId(gid)) continue;
    rows.push({ name, uid: Number(uid), gid: Number(gid), home: home || '/', shell: shell || '/bin/sh' });
  }
  return rows;
}

/** group(5). */
export function parseGroup(text: string): GroupRow[] {
  const rows: GroupRow[] = [];
  for (const line of text.split('\n')) {
    const [name, , gid, members] = line.split(':');
    if (!name || name.startsWith('#') || !isId(gid)) continue;
    rows.push({ name, gid: Number(gid), members: members ? members.trim().split(',') : [] });
  }
  return rows;
}
