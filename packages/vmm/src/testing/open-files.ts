import { readdir, readFile, readlink } from 'node:fs/promises';

/** How a process holds a file: access modes of its descriptors, permissions of its mappings (`rw-p` is private). */
export async function openFiles(pid: number, path: string): Promise<{ modes: string[]; maps: string[] }> {
  const modes: string[] = [];
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) !== path) continue;
    const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
    const flags = Number.parseInt(/^flags:\s+(\d+)/m.exec(info)?.[1] ?? '', 8);
    modes.push(['read', 'write', 'read-write'][flags & 3] ?? 'unknown');
  }
  const lines = (await readFile(`/proc/${pid}/maps`, 'utf8')).split('\n');
  const maps = lines.filter((line) => line.endsWith(` ${path}`)).map((line) => line.split(' ')[1] ?? '');
  return { modes, maps };
}
