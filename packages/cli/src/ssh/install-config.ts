import { existsSync } from 'node:fs';
import { readFile, realpath, rm, stat } from 'node:fs/promises';
import { writeFileAtomic } from '@sandbox-backend/kit';
import type { SshFiles } from './files.ts';

const BEGIN = '# sandbox-cli: begin';
const END = '# sandbox-cli: end';

/** Writes our file and has the user's own include it, before all that it says. False when it did already. */
export async function installConfig(files: SshFiles, config: string): Promise<boolean> {
  await writeFileAtomic(files.config, config, { mode: 0o600 });
  return edit(files, (text) => `${BEGIN}\nInclude "${files.config}"\n${END}\n${withoutBlock(text)}`);
}

/** Takes out what was installed, and our folder with the key. False when nothing was installed. */
export async function uninstallConfig(files: SshFiles): Promise<boolean> {
  const changed = existsSync(files.userConfig) && (await edit(files, withoutBlock));
  const had = existsSync(files.folder);
  await rm(files.folder, { recursive: true, force: true });
  return changed || had;
}

/** The text without the lines between our marks; all else is as it was. */
export function withoutBlock(text: string): string {
  const lines = text.split('\n');
  const kept: string[] = [];
  let inside = false;
  for (const line of lines) {
    if (line === BEGIN && lines.includes(END)) inside = true;
    if (!inside) kept.push(line);
    if (line === END) inside = false;
  }
  return kept.join('\n');
}

async function edit({ userConfig }: SshFiles, change: (text: string) => string): Promise<boolean> {
  const exists = existsSync(userConfig);
  // A link, as people have for their settings, stays one.
  const file = exists ? await realpath(userConfig) : userConfig;
  const before = exists ? await readFile(file, 'utf8') : '';
  const after = change(before);
  if (after === before) return false;
  await writeFileAtomic(file, after, { mode: exists ? (await stat(file)).mode & 0o777 : 0o600 });
  return true;
}
