import { constants } from 'node:fs';
import { chmod, copyFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram, isAlive, type Operation } from '@sandbox-backend/kit';
import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import { ApiClient } from '../control/api-client.ts';
import { ApiMachine, type MachineVerbs } from '../control/api-machine.ts';
import { asFields } from '../control/fields.ts';
import { processOf } from '../control/process.ts';
import { findMachine, startMachine } from '../control/start.ts';
import { onTail } from '../control/tail-watch.ts';
import type { Hardware, MachineRef, Room, SnapshotFiles, Vmm } from '../vmm.ts';
import { checkDrives } from './check-drives.ts';
import { explainExit, explainFault } from './explain.ts';
import {
  type ApiRequest,
  bootRequests,
  consoleRequest,
  limitRequests,
  loadRequest,
  saveRequest,
  setState,
} from './requests.ts';

export type FirecrackerOptions = {
  binary: string;
  /** Changes root and user; without it the room does. */
  jailer?: string;
};

/** The kernel's last words, which it prints whatever its log level (kernel/reboot.c). */
const POWERED_OFF = /reboot: (?:Power down|Power off not available|System halted)/;

/** In the room; the VMM's own log is `vmm.log`. */
const CONSOLE = 'console.log';

/**
 * Drives Firecracker, through its jailer where the room can enter one. It has raw disks only, and remembers the
 * paths of its drives in a snapshot: in each room they are links of the same names to the machine's own files.
 */
export function firecrackerVmm(options: FirecrackerOptions, identity: VmmIdentity): Vmm {
  return {
    identity,
    traits: {
      diskFormats: ['raw'],
      generationId: true,
      mapsDisks: false,
      reportsFreePages: true,
      memoryInState: false,
    },

    boot: (op, spec, room) =>
      start(op, options, room, spec.memoryFile, spec.hardware, async (machine, paths) => {
        const guest = {
          kernel: room.inside(spec.kernel),
          initrd: room.inside(spec.initrd),
          commandLine: spec.commandLine,
        };
        for (const request of bootRequests(spec.hardware, paths, guest)) await send(op, machine.api, request);
      }),

    restore: (op, spec, room) =>
      start(op, options, room, spec.memoryFile, spec.hardware, async (machine, paths) => {
        const files = {
          stateFile: room.inside(spec.stateFile),
          memoryFile: room.inside(spec.memoryFile),
        };
        await send(op, machine.api, consoleRequest(paths.console));
        await send(op, machine.api, loadRequest(files, spec.hardware.network.tap));
        for (const request of limitRequests(spec.hardware)) await send(op, machine.api, request);
        const config = await machine.api.send(op, 'GET', '/vm/config');
        await checkDrives(config, machine.ref.pid, spec.hardware, paths.drives);
      }),

    recover: (op, ref, room) => findMachine(ref, (found) => connect(op, found, room)),
  };
}

async function start(
  op: Operation,
  options: FirecrackerOptions,
  room: Room,
  memoryFile: string,
  hardware: Hardware,
  load: (machine: ApiMachine, paths: { console: string; drives: string[] }) => Promise<void>,
): Promise<ApiMachine> {
  const consoleFile = join(room.directory, CONSOLE);
  return startMachine(op, room, {
    vmm: 'firecracker',
    socket: 'api.sock',
    memoryFile,
    ...(options.jailer ? { launch: { jailer: await findProgram(options.jailer) } } : {}),
    command: async (controlSocket) => {
      await writeFile(consoleFile, '');
      await room.give(consoleFile);
      return [await findProgram(options.binary), '--api-sock', controlSocket];
    },
    connect: (ref) => connect(op, ref, room),
    load: async (machine) =>
      load(machine, { console: room.inside(consoleFile), drives: await linkDrives(room, hardware) }),
  });
}

async function connect(
  op: Operation,
  ref: MachineRef,
  room: Pick<Room, 'inside' | 'directory' | 'give'>,
): Promise<ApiMachine> {
  const api = await ApiClient.open(op, ref.controlSocket, () => isAlive(processOf(ref)), explainFault);
  const consoleFile = join(room.directory, CONSOLE);
  const machine = new ApiMachine(ref, api, verbsIn(ref, room), consoleFile);
  // Firecracker has no power switch: a guest that powers off stands still for ever.
  const watch = onTail(
    consoleFile,
    POWERED_OFF,
    () => void machine.end({ reason: 'powered_off', detail: 'the guest powered off' }),
  );
  void machine.exited.then(() => watch[Symbol.dispose]());
  return machine;
}

const send = (op: Operation, api: ApiClient, { method, path, body }: ApiRequest) =>
  api.send(op, method, path, body);

/** `drive-<id>` in the machine's folder: a link to the disk as the VMM sees it. */
async function linkDrives(room: Room, hardware: Hardware): Promise<string[]> {
  return Promise.all(
    hardware.disks.map(async ({ id, path }) => {
      const link = join(room.directory, `drive-${id}`);
      await rm(link, { force: true });
      await symlink(room.inside(path), link);
      return room.inside(link);
    }),
  );
}

const verbsIn = (ref: MachineRef, room: Pick<Room, 'inside' | 'give'>): MachineVerbs => ({
  async state(op, api) {
    const { state } = asFields(await api.send(op, 'GET', '/'));
    return state === 'Running' ? 'running' : 'paused';
  },
  pause: (op, api) => send(op, api, setState('Paused')),
  resume: (op, api) => send(op, api, setState('Resumed')),
  async snapshot(op, api, files) {
    const diff = files.memoryFile !== ref.memoryFile;
    try {
      if (diff) await copyBase(ref.memoryFile, files, room);
      const inside = { stateFile: room.inside(files.stateFile), memoryFile: room.inside(files.memoryFile) };
      await send(op, api, saveRequest(diff ? 'Diff' : 'Full', inside));
    } catch (caught) {
      await rm(files.stateFile, { force: true }); // never half a snapshot
      if (diff) await rm(files.memoryFile, { force: true });
      throw caught;
    }
  },
  explainExit,
});

/** Firecracker writes what a restored machine may have changed over a copy of what it was restored from. */
async function copyBase(
  base: string,
  { memoryFile }: SnapshotFiles,
  room: Pick<Room, 'give'>,
): Promise<void> {
  try {
    await copyFile(base, memoryFile, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  } catch (caught) {
    throw SandboxError.from(caught);
  }
  await chmod(memoryFile, 0o600); // what it is a copy of may be for reading only
  await room.give(memoryFile);
}
