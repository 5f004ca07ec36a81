import { join } from 'node:path';
import { isAlive, type Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { withLog } from '../log-tail.ts';
import type { LaunchOptions, Machine, MachineRef, Room } from '../vmm.ts';
import { endProcess, processOf } from './process.ts';

export type StartPlan<M extends Machine> = {
  vmm: MachineRef['vmm'];
  /** Name of the control socket in the room. */
  socket: string;
  memoryFile: string;
  /** The command line, with paths as the VMM sees them. */
  command(controlSocket: string): Promise<readonly string[]>;
  /** See {@link LaunchOptions}. */
  launch?: Omit<LaunchOptions, 'logFile'>;
  /** Connects to the VMM that has been started. */
  connect(ref: MachineRef): Promise<M>;
  /** What is told to the VMM before the machine is handed out. */
  load?(machine: M): Promise<void>;
};

/** Ready, or gone: whatever goes wrong, no process is left, and the error has the VMM's own log. */
export async function startMachine<M extends Machine>(
  op: Operation,
  room: Room,
  plan: StartPlan<M>,
): Promise<M> {
  await using held = new AsyncDisposableStack();
  const controlSocket = controlSocketIn(room.directory, plan.socket);
  const vmmLog = join(room.directory, 'vmm.log');
  try {
    const launched = await op.phase('vmm start', async () =>
      room.launch(op, await plan.command(room.inside(controlSocket)), {
        logFile: vmmLog,
        ...plan.launch,
      }),
    );
    const { vmm, memoryFile } = plan;
    const ref: MachineRef = { vmm, ...launched, controlSocket, vmmLog, memoryFile };
    held.defer(() => endProcess(ref));
    const machine = held.use(await op.phase('vmm connect', () => plan.connect(ref)));
    if (plan.load) await op.phase('vmm load', () => plan.load!(machine));
    held.move();
    return machine;
  } catch (caught) {
    await held.disposeAsync(); // the log is complete only then
    throw await withLog(caught, vmmLog);
  }
}

/** Connects to a machine that an earlier run of the server started; undefined when it is gone. */
export async function findMachine<M extends Machine>(
  ref: MachineRef,
  connect: (ref: MachineRef) => Promise<M>,
): Promise<M | undefined> {
  const alive = () => isAlive(processOf(ref));
  if (!(await alive())) return undefined;
  try {
    return await connect(ref);
  } catch (caught) {
    // One that lives and does not answer is left as it is: whose it is, the caller knows.
    if (await alive()) throw await withLog(caught, ref.vmmLog);
    return undefined;
  }
}

/** sockaddr_un holds 107 bytes and the zero that ends them. */
const MAX_SOCKET_PATH = 107;

function controlSocketIn(directory: string, name: string): string {
  const path = join(directory, name);
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw new SandboxError('failed_precondition', `the path of a control socket is too long: ${path}`, {
      hint: `Choose a shorter data folder: ${MAX_SOCKET_PATH} bytes are the most that the kernel takes.`,
    });
  }
  return path;
}
