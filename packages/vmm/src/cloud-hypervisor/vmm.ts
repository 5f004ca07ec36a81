import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram, isAlive, type Operation } from '@sandbox-backend/kit';
import type { VmmIdentity } from '@sandbox-backend/protocol';
import { ApiClient } from '../control/api-client.ts';
import { ApiMachine, type MachineVerbs } from '../control/api-machine.ts';
import { asFields, asText } from '../control/fields.ts';
import { processOf } from '../control/process.ts';
import { findMachine, startMachine } from '../control/start.ts';
import { onTail } from '../control/tail-watch.ts';
import type { Hardware, MachineRef, Room, Vmm } from '../vmm.ts';
import { type CloudHypervisorPaths, restoreConfig, vmConfig } from './config.ts';
import { explainExit } from './events.ts';
import { makeGivenFolder } from './given-folder.ts';
import { packSnapshot, readState, unpackSnapshot } from './state-file.ts';

type InRoom = Pick<Room, 'inside' | 'directory' | 'give'>;

const CONSOLE = 'console.log';
const EVENTS = 'events.log';
const NO_KERNEL = 'no-kernel';
const API = '/api/v1';

/**
 * Drives Cloud Hypervisor, with its seccomp filters and Landlock. Its snapshot is a configuration, which is written
 * anew for each machine, and a state; both are in one state file. A guest that restarts ends its machine.
 */
export function cloudHypervisorVmm(binary: string, identity: VmmIdentity): Vmm {
  return {
    identity,
    traits: {
      diskFormats: ['raw', 'qcow2'],
      generationId: false,
      mapsDisks: true,
      reportsFreePages: true,
      memoryInState: false,
    },

    boot: (op, spec, room) =>
      start(op, binary, room, spec, async ({ api }) => {
        const { hardware, memoryFile } = spec;
        await using memory = await open(memoryFile, 'wx');
        await memory.truncate(hardware.memoryMib * 1024 * 1024);
        await room.give(memoryFile);
        const guest = {
          kernel: room.inside(spec.kernel),
          initrd: room.inside(spec.initrd),
          commandLine: spec.commandLine,
        };
        await api.send(
          op,
          'PUT',
          `${API}/vm.create`,
          vmConfig(hardware, pathsIn(room, hardware, memoryFile), guest),
        );
        await api.send(op, 'PUT', `${API}/vm.boot`);
      }),

    restore: (op, spec, room) =>
      start(op, binary, room, spec, async ({ api }) => {
        const { config, state } = await readState(spec.stateFile);
        const paths = pathsIn(room, spec.hardware, spec.memoryFile);
        const folder = join(room.directory, 'restore');
        await unpackSnapshot(folder, restoreConfig(config, spec.hardware, paths), state);
        await api.send(op, 'PUT', `${API}/vm.restore`, { source_url: `file://${room.inside(folder)}` });
        await rm(folder, { recursive: true });
      }),

    recover: (op, ref, room) => findMachine(ref, (found) => connect(op, found, room)),
  };
}

const start = (
  op: Operation,
  binary: string,
  room: Room,
  { memoryFile, hardware }: { memoryFile: string; hardware: Hardware },
  load: (machine: ApiMachine) => Promise<void>,
): Promise<ApiMachine> =>
  startMachine(op, room, {
    vmm: 'cloud-hypervisor',
    socket: 'api.sock',
    memoryFile,
    launch: { tap: hardware.network.tap },
    command: async (controlSocket) => {
      await writeFile(join(room.directory, NO_KERNEL), '');
      for (const name of [CONSOLE, EVENTS]) {
        await writeFile(join(room.directory, name), '');
        await room.give(join(room.directory, name));
      }
      const events = room.inside(join(room.directory, EVENTS));
      return [
        await findProgram(binary),
        ...[
          '--api-socket',
          `path=${controlSocket}`,
          '--event-monitor',
          `path=${events}`,
          '--seccomp',
          'true',
        ],
      ];
    },
    connect: (ref) => connect(op, ref, room),
    load,
  });

async function connect(op: Operation, ref: MachineRef, room: InRoom): Promise<ApiMachine> {
  const events = join(room.directory, EVENTS);
  const api = await ApiClient.open(op, ref.controlSocket, () => isAlive(processOf(ref)), explainErrors);
  const machine = new ApiMachine(ref, api, verbsIn(room, events), join(room.directory, CONSOLE));
  // Cloud Hypervisor starts a guest anew that restarts; the sandbox would be another one.
  const watch = onTail(
    events,
    /"rebooting"/,
    () =>
      void machine.end({ reason: 'powered_off', detail: 'the guest restarted, by request or after a panic' }),
  );
  void machine.exited.then(() => watch[Symbol.dispose]());
  return machine;
}

const pathsIn = (room: Room, hardware: Hardware, memoryFile: string): CloudHypervisorPaths => ({
  machine: room.inside(join(room.directory, '.')),
  memoryFile: room.inside(memoryFile),
  console: room.inside(join(room.directory, CONSOLE)),
  disks: hardware.disks.map((disk) => room.inside(disk.path)),
  noKernel: room.inside(join(room.directory, NO_KERNEL)),
});

const verbsIn = (room: InRoom, eventFile: string): MachineVerbs => ({
  async state(op, api) {
    const { state } = asFields(await api.send(op, 'GET', `${API}/vm.info`));
    return state === 'Running' ? 'running' : 'paused';
  },
  pause: (op, api) => api.send(op, 'PUT', `${API}/vm.pause`),
  resume: (op, api) => api.send(op, 'PUT', `${API}/vm.resume`),
  async snapshot(op, api, files) {
    await using folder = await makeGivenFolder(join(room.directory, 'snapshot-'), room.give);
    try {
      const destination = { destination_url: `file://${room.inside(folder.path)}` };
      await api.send(op, 'PUT', `${API}/vm.snapshot`, destination);
      await packSnapshot(folder.pinned, files);
    } catch (caught) {
      await rm(files.stateFile, { force: true }); // never half a snapshot
      throw caught;
    }
  },
  explainExit: (log) => explainExit(eventFile, log),
});

/** An error is a list of texts, each the cause of the one before. */
function explainErrors(body: string): string {
  try {
    const chain: unknown = JSON.parse(body);
    return Array.isArray(chain) ? chain.map(asText).join(': ') : asText(chain);
  } catch {
    return body.slice(0, 1000);
  }
}
