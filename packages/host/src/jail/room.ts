import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { chmod, chown, lchown, lstat, mkdir, open, readdir, readFile } from 'node:fs/promises';
import { isAbsolute, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { killAndWait, log, type Operation, processStartTime } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { LaunchedProcess, LaunchOptions, Room } from '@sandbox-backend/vmm';
import { type CgroupStats, openCgroup } from '../cgroups/cgroup.ts';
import type { RoomSpec } from '../host.ts';
import { occupants } from '../network/occupants.ts';

/** A room of this host, with what can be told of it from outside. */
export interface HostRoom extends Room, AsyncDisposable {
  /** `enforced`, or what of memory, cpu and pids this host cannot limit, as `missing: cpu, pids`. */
  readonly limits: string;
  /** What the VMM uses now, as the host counts it. */
  stats(): Promise<CgroupStats>;
  /** Takes memory back that the VMM does not need now; see the control group's. */
  reclaim(): Promise<void>;
}

const ENTER = fileURLToPath(new URL('./enter.sh', import.meta.url));
/** Where a room's root comes to be, in its own mount namespace; on the host it is an empty folder. */
const ROOT = '/run/sandbox-backend/root';
/** Where a VMM sees its own folder. */
const MACHINE = '/machine';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Opens a room: what is launched in it runs as the slot's user without any capability, in the slot's
 * network, sees `/usr` read-only, its own folder as `/machine`, the folders of `readOnly`, five
 * devices and nothing else of this host, and stays within its limits.
 *
 * A room may be opened again for a machine that outlived its server. Disposing of a room ends
 * whatever runs in it; the folders are the caller's. Needs root.
 *
 * Errors: `invalid_argument` for an id or path that is refused, `failed_precondition` without root.
 */
export async function openRoom(op: Operation, spec: RoomSpec): Promise<HostRoom> {
  checkSpec(spec);
  const { directory, slot } = spec;
  await using held = new AsyncDisposableStack();
  await mkdir(ROOT, { recursive: true, mode: 0o700 });
  await giveFolder(directory, slot.uid);

  const cgroup = held.use(await openCgroup(op, { name: spec.id, limits: spec.limits }));
  const limits = cgroup.missing.length === 0 ? 'enforced' : `missing: ${cgroup.missing.join(', ')}`;
  if (limits !== 'enforced') log('warn', 'room.open', { room: spec.id, limits });
  // Without control groups, what runs in the slot's network is what runs in the room.
  if (cgroup.procsFiles.length === 0) {
    held.defer(async () => void (await Promise.all((await occupants(slot.namespace)).map(killAndWait))));
  }

  const views: [hostPath: string, seenAs: string][] = [
    [directory, MACHINE],
    ...Object.entries(spec.readOnly).map(([seenAs, hostPath]): [string, string] => [hostPath, seenAs]),
    ['/usr', '/usr'],
  ];
  const prefix = [
    `--net=/run/netns/${slot.namespace}`,
    '--',
    ...['unshare', '--mount', '--propagation', 'private', '--ipc', '--uts', '--'],
    ...['sh', ENTER, ROOT, `${slot.uid}`, spec.kvm ? 'yes' : 'no', directory],
    ...cgroup.procsFiles.flatMap((file) => ['--procs', file]),
    ...Object.entries(spec.readOnly).flatMap(([seenAs, hostPath]) => ['--read-only', seenAs, hostPath]),
  ];

  const owned = held.move();
  return {
    directory,
    limits,
    stats: () => cgroup.stats(),
    reclaim: () => cgroup.reclaim(),
    inside: (hostPath) => seenFrom(views, hostPath),
    give: (hostPath) => {
      if (!hostPath.startsWith(`${directory}/`))
        throw new SandboxError('internal', `${hostPath} is not the room's`);
      return lchown(hostPath, slot.uid, slot.uid);
    },
    launch: (op, command, options) =>
      launch(op, [...prefix, ...entry(spec, command, options)], options.logFile),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The end of the command line of enter.sh. A program that is not below /usr is brought into the room by itself. */
function entry(spec: RoomSpec, command: readonly string[], { jailer, tap }: LaunchOptions): string[] {
  const [program = '', ...args] = command;
  const seen = jailer !== undefined || /^(?:\/(?:usr|bin|sbin)\/|[^/])/.test(program);
  return [
    ...(tap === undefined ? [] : ['--tap', tap]),
    ...(jailer === undefined ? [] : ['--jailer', jailer, spec.id]),
    ...(seen ? ['--', program] : ['--program', program, '--', '/vmm']),
    ...args,
  ];
}

/**
 * The VMM may make files in its folder and write those in it now, but not put another in place of
 * what root makes there later, such as its log: the folder is root's and sticky.
 */
async function giveFolder(directory: string, uid: number): Promise<void> {
  try {
    await chown(directory, 0, uid);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EPERM') throw SandboxError.from(cause);
    throw new SandboxError('failed_precondition', 'machines can only be isolated by root', {
      cause,
      hint: 'Start the server as root.',
    });
  }
  await chmod(directory, 0o1770);
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const entry = await lstat(path).catch(() => undefined); // a VMM that lives may remove what is its own
    // With a second name it may be the memory of a build, put here by a snapshot that a kill has cut short.
    if (!entry || entry.isDirectory() || entry.nlink > 1) continue;
    // lchown: an entry may be a link that the VMM of an earlier run of the server has made.
    await lchown(path, uid, uid);
  }
}

function seenFrom(views: [hostPath: string, seenAs: string][], hostPath: string): string {
  const path = normalize(hostPath);
  for (const [from, seenAs] of views) {
    if (path === from) return seenAs;
    if (path.startsWith(`${from}/`)) return seenAs + path.slice(from.length);
  }
  throw new SandboxError('internal', `the VMM cannot see ${hostPath} from its room`);
}

async function launch(op: Operation, args: string[], logFile: string): Promise<LaunchedProcess> {
  op.signal.throwIfAborted();
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  await using log = await open(logFile, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  const child = spawn('nsenter', args, {
    detached: true,
    cwd: '/',
    env: { PATH, LANG: 'C.UTF-8' },
    stdio: ['ignore', log.fd, log.fd],
  });
  child.unref();
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(SandboxError.from(cause)));
  });
  const pid = child.pid!;
  const pidStartTime = await processStartTime(pid);
  if (pidStartTime === undefined) {
    throw new SandboxError('internal', 'the VMM ended as soon as it was started', {
      log: (await readFile(logFile, 'utf8').catch(() => '')).slice(-4000),
    });
  }
  return { pid, pidStartTime };
}

const RESERVED = /^\/(?:usr|bin|sbin|lib|lib32|lib64|libx32|dev|sys|run|vmm|machine|\.old)(?:\/|$)/;

function checkSpec({ id, directory, readOnly, slot, limits }: RoomSpec): void {
  const refuse = (what: string) => {
    throw new SandboxError('invalid_argument', `a room cannot be opened: ${what}`);
  };
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$/.test(id)) refuse(`${JSON.stringify(id)} is not an id`);
  if (!/^[a-z][a-z0-9]{0,7}-\d{1,7}$/.test(slot.namespace))
    refuse(`${JSON.stringify(slot.namespace)} is not a slot`);
  if (!Number.isSafeInteger(slot.uid) || slot.uid < 1000) refuse(`${slot.uid} is not an unprivileged user`);
  for (const path of [directory, ...Object.values(readOnly)]) {
    if (!isAbsolute(path) || normalize(path) !== path || path.endsWith('/'))
      refuse(`${path} is not a plain absolute path`);
  }
  for (const seenAs of Object.keys(readOnly)) {
    if (!/^(?:\/[a-z0-9][a-z0-9._-]*)+$/.test(seenAs) || RESERVED.test(seenAs))
      refuse(`${seenAs} is not free`);
  }
  for (const limit of Object.values(limits)) {
    if (!(limit > 0 && limit < 2 ** 31)) refuse(`${limit} is not a limit`);
  }
}
