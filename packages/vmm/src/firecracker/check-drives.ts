import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { SandboxError } from '@sandbox-backend/protocol';
import { asFields, asText } from '../control/fields.ts';
import type { Hardware } from '../vmm.ts';

/**
 * Fails unless each disk of a restored, still paused machine is the file that it was given: a snapshot opens the
 * paths that it remembers, and a guest that ran on another's disk could not be helped any more. Looked at twice: in
 * what the VMM says of itself, and in the files that its process has open.
 */
export async function checkDrives(
  config: unknown,
  pid: number,
  hardware: Hardware,
  paths: readonly string[],
): Promise<void> {
  const refuse = (why: string) => {
    throw new SandboxError('internal', `the snapshot was not restored on its own disks: ${why}`);
  };
  const drives = asFields(config).drives;
  const said = new Map(
    (Array.isArray(drives) ? drives : [])
      .map(asFields)
      .map((drive) => [asText(drive.drive_id), asText(drive.path_on_host)]),
  );
  if (said.size !== hardware.disks.length) refuse(`it has ${said.size} drives, not ${hardware.disks.length}`);
  const open = await openFiles(pid);
  for (const [index, disk] of hardware.disks.entries()) {
    if (said.get(disk.id) !== paths[index]) refuse(`${disk.id} is ${said.get(disk.id)}, not ${paths[index]}`);
    const { dev, ino } = await stat(disk.path);
    if (!open.delete(`${dev}:${ino}`)) refuse(`${disk.path} is not open`);
  }
  for (const [file, writable] of open) if (writable) refuse(`the file ${file} is open for writing`);
}

/** Regular files that a process has open, by device and inode; true when for writing. Disks and what a console is. */
async function openFiles(pid: number): Promise<Map<string, boolean>> {
  const files = new Map<string, boolean>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const path = `/proc/${pid}/fd/${fd}`;
    const info = await stat(path).catch(() => undefined);
    if (!info?.isFile() || /\.log$/.test(await readlink(path).catch(() => ''))) continue;
    const flags = /^flags:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
    files.set(`${info.dev}:${info.ino}`, (Number.parseInt(flags, 8) & 3) !== 0);
  }
  return files;
}
