import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  access,
  chmod,
  link,
  mkdir,
  readdir,
  readFile,
  readlink,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, run, waitForExit } from '@sandbox-backend/kit';
import type { LaunchedProcess } from '@sandbox-backend/vmm';
import { openCgroup } from '../cgroups/cgroup.ts';
import type { RoomSpec, Slot } from '../host.ts';
import { openSlotPool } from '../network/pool.ts';
import { end, isRoot, operation, scratch, sweep, testPrefix } from '../network/testing.ts';
import { openRoom } from './room.ts';

const skip = isRoot ? false : 'rooms need root: isolation was NOT tested';

const limits = { memoryMib: 128, vcpus: 1, pids: 20 };

/** A slot, a folder for the machine and one that it may read. */
async function setUp() {
  await using held = new AsyncDisposableStack();
  const prefix = testPrefix();
  held.use(sweep(prefix));
  const folder = held.use(await scratch());
  const pool = held.use(
    await openSlotPool(operation(), {
      ...{ stateDir: join(folder.path, 'slots'), subnet: '10.215.0.0/28', namePrefix: prefix, spare: 0 },
    }),
  );
  const slot: Slot = held.use(await pool.lease(operation()));
  const directory = join(folder.path, 'a machine');
  const build = join(folder.path, 'build');
  await mkdir(directory);
  await mkdir(build);
  await writeFile(join(build, 'rootfs.ext4'), 'template');
  await chmod(folder.path, 0o700);
  const spec: RoomSpec = { id: prefix, directory, readOnly: { '/build': build }, slot: slot.ref, limits };
  const owned = held.move();
  return { folder: folder.path, spec, slot, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const asRef = ({ pid, pidStartTime }: LaunchedProcess) => ({ pid, startTime: pidStartTime });

/** Runs a shell script in the room to its end and returns what it printed. */
async function inRoom(spec: RoomSpec, script: string, change: Partial<RoomSpec> = {}): Promise<string> {
  await using room = await openRoom(operation(), { ...spec, ...change });
  const logFile = join(spec.directory, 'vmm.log');
  await room
    .launch(operation(), ['/bin/sh', '-c', script], { logFile })
    .then((launched) => waitForExit(asRef(launched)));
  return readFile(logFile, 'utf8');
}

const status = async (pid: number) =>
  Object.fromEntries(
    (await readFile(`/proc/${pid}/status`, 'utf8'))
      .split('\n')
      .map((line) => line.split(/:\s*/, 2) as [string, string]),
  );

/** The script that makes the room has become the command. */
async function untilRuns(pid: number, name: string): Promise<void> {
  while ((await status(pid)).Name !== name) await sleep(5);
}

test('what runs in a room is its own user, without rights, in the network of its slot', {
  skip,
}, async () => {
  await using set = await setUp();
  await using room = await openRoom(operation(), set.spec);
  const { pid } = await room.launch(operation(), ['sleep', '1000'], {
    logFile: join(set.spec.directory, 'log'),
  });
  await untilRuns(pid, 'sleep');
  const { uid, namespace } = set.slot.ref;
  const seen = await status(pid);
  assert.deepEqual(seen.Uid?.split('\t'), Array(4).fill(`${uid}`));
  assert.deepEqual(seen.Gid?.split('\t'), Array(4).fill(`${uid}`));
  assert.equal(seen.Groups?.trim(), '');
  for (const kind of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.equal(seen[kind], '0000000000000000', kind);
  assert.equal(seen.NoNewPrivs, '1');
  assert.equal((await stat(`/proc/${pid}/ns/net`)).ino, (await stat(`/run/netns/${namespace}`)).ino);
  for (const kind of ['mnt', 'ipc', 'uts']) {
    assert.notEqual(await readlink(`/proc/${pid}/ns/${kind}`), await readlink(`/proc/self/ns/${kind}`), kind);
  }
  // A session of its own, so that no signal to the server's terminal reaches it.
  assert.equal((await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ')[3], `${pid}`);
  assert.match(await readFile(`/proc/${pid}/limits`, 'utf8'), /Max core file size\s+0\s+0/);

  const mounts = (await readFile(`/proc/${pid}/mountinfo`, 'utf8')).trim().split('\n');
  const points = mounts.map((line) => line.split(' ')[4]);
  const ofThisHost = (
    await Promise.all(['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'].map(isFolder))
  ).filter(Boolean);
  assert.deepEqual(points.sort(), ['/build', '/machine', '/usr', ...ofThisHost].sort());
  for (const line of mounts) {
    const [, , , , point, options = ''] = line.split(' ');
    assert.ok(options.includes('nosuid'), line);
    assert.ok(options.includes('nodev'), line);
    if (point !== '/machine') assert.match(options, /^ro,/, line);
  }
});

async function isFolder(name: string): Promise<string | undefined> {
  const target = await readlink(`/${name}`).catch(() => undefined);
  return target === undefined &&
    (await access(`/${name}`).then(
      () => true,
      () => false,
    ))
    ? `/${name}`
    : undefined;
}

test('a room shows its own folder and its build, and nothing else of this host', { skip }, async () => {
  await using set = await setUp();
  const other = join(set.folder, 'other machine');
  await mkdir(other);
  await writeFile(join(other, 'secret'), 'secret');
  await writeFile(join(set.spec.directory, 'disk.qcow2'), 'disk');
  const said = await inRoom(
    set.spec,
    `for path in /root /etc /etc/shadow /home /var /run /sys /tmp /.old/etc /proc/1 ${set.folder} ${process.cwd()}; do
       [ -e "$path" ] && echo "sees $path"; done
     ls / /dev /dev/net
     cat /build/rootfs.ext4 && echo
     for path in /x /build/x /build/rootfs.ext4 /usr/x /dev/x; do (: >>$path) 2>/dev/null && echo "writes $path"; done
     : >/machine/made && echo more >>/machine/disk.qcow2 && cat /machine/disk.qcow2
     mv /machine/made /machine/vmm.log 2>/dev/null && echo "replaces its log"
     rm -f /machine/vmm.log 2>/dev/null && echo "removes its log"
     : </dev/zero && : </dev/urandom && : >/dev/null && echo devices work
     mknod /machine/sda b 8 0 2>/dev/null && echo "makes devices"
     mount -t tmpfs x /machine 2>/dev/null && echo mounts
     unshare --user true 2>/dev/null && echo "new user namespace"
     hostname changed 2>/dev/null && echo "changes the host name"
     true`,
  );
  assert.ok(!/sees|writes|removes|replaces|makes|mounts|changes|new user/.test(said), said);
  assert.match(said, /^template$/m);
  assert.match(said, /^diskmore$/m);
  assert.match(said, /^devices work$/m);
  assert.ok(!said.includes('kvm'), said);
  assert.deepEqual(/^\/dev:\n([\s\S]*?)\n\n/m.exec(said)?.[1]?.split('\n'), [
    'net',
    'null',
    'random',
    'urandom',
    'zero',
  ]);
  assert.match(await inRoom(set.spec, 'ls -l /dev/kvm', { kvm: true }), /crw-rw-rw-.* 10, 232 .*\/dev\/kvm/);
  // The mounts were the room's alone.
  assert.deepEqual(await readdir('/run/sandbox-backend/root'), []);
  assert.equal((await stat(other)).uid, 0);
});

test('a folder with spaces and quotes in its name is just a folder', { skip }, async () => {
  await using set = await setUp();
  const directory = join(set.folder, `it's "$(touch owned)" ; # \\`);
  await mkdir(directory);
  await using room = await openRoom(operation(), { ...set.spec, directory });
  const logFile = join(directory, 'log');
  const launched = await room.launch(
    operation(),
    ['/bin/sh', '-c', 'echo "$1" >/machine/said', 'sh', '$(id) `id`'],
    {
      logFile,
    },
  );
  await waitForExit(asRef(launched));
  assert.equal(
    await readFile(join(directory, 'said'), 'utf8'),
    '$(id) `id`\n',
    await readFile(logFile, 'utf8'),
  );
});

test('limits hold: memory, processes and processor time', { skip }, async (t) => {
  await using set = await setUp();
  await using room = await openRoom(operation(), set.spec);
  if (room.limits !== 'enforced') return t.skip(`control groups are ${room.limits}: limits were NOT tested`);
  const logFile = join(set.spec.directory, 'log');

  const { pid } = await room.launch(operation(), ['sleep', '1000'], { logFile });
  await untilRuns(pid, 'sleep');
  const stats = await room.stats();
  assert.equal(stats.pids, 1);
  assert.ok(stats.memoryBytes > 0 && stats.memoryBytes < limits.memoryMib * 2 ** 20, `${stats.memoryBytes}`);
  assert.ok(stats.cpuUsageUs > 0);
  const files: [v1: string, v2: string, expected: RegExp][] = [
    ['memory/sandbox-backend/NAME/memory.limit_in_bytes', 'NAME/memory.max', /^134217728\n/],
    ['cpu/sandbox-backend/NAME/cpu.cfs_quota_us', 'NAME/cpu.max', /^125000( 100000)?\n/],
    ['pids/sandbox-backend/NAME/pids.max', 'NAME/pids.max', /^20\n/],
  ];
  const version1 = await access('/sys/fs/cgroup/memory/sandbox-backend').then(
    () => true,
    () => false,
  );
  for (const [v1, v2, expected] of files) {
    const path = join('/sys/fs/cgroup', version1 ? v1 : `sandbox-backend/${v2}`).replace('NAME', set.spec.id);
    assert.match(await readFile(path, 'utf8'), expected, path);
    assert.ok((await readFile(join(dirname(path), 'cgroup.procs'), 'utf8')).split('\n').includes(`${pid}`));
  }

  const script = `for n in $(seq 40); do sleep 1000 & done; echo all of them`;
  await waitForExit(asRef(await room.launch(operation(), ['/bin/sh', '-c', script], { logFile })));
  assert.match(await readFile(logFile, 'utf8'), /Cannot fork/);
  assert.equal((await room.stats()).pids, limits.pids - 1); // the shell is gone
  await room[Symbol.asyncDispose]();

  await using again = await openRoom(operation(), set.spec);
  const glutton = 'dd if=/dev/zero of=/dev/null bs=300M count=1 && echo has it all';
  await waitForExit(asRef(await again.launch(operation(), ['/bin/sh', '-c', glutton], { logFile })));
  assert.doesNotMatch(await readFile(logFile, 'utf8'), /has it all/);
});

test('QEMU runs in a room, with its system call filter, its socket and its tap', { skip }, async (t) => {
  await using set = await setUp();
  if (!(await run('qemu-system-x86_64', ['--version']).catch(() => undefined)))
    return t.skip('QEMU is not installed');
  await using room = await openRoom(operation(), {
    ...set.spec,
    limits: { ...limits, memoryMib: 512, pids: 64 },
  });
  const socket = join(set.spec.directory, 'qmp.sock');
  const logFile = join(set.spec.directory, 'vmm.log');
  const command = [
    ...['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-display', 'none', '-S'],
    ...['-machine', 'q35', '-accel', 'tcg', '-m', '64M'],
    ...['-netdev', `tap,id=net0,ifname=${set.slot.ref.tap},script=no,downscript=no`],
    ...['-device', `virtio-net-pci,netdev=net0,romfile=,mac=${set.slot.ref.mac}`],
    ...['-qmp', `unix:${room.inside(socket)},server=on,wait=off`],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
  ];
  const launched = await room.launch(operation(), command, { logFile });
  while (
    !(await access(socket).then(
      () => true,
      () => false,
    ))
  ) {
    assert.ok(await isAlive(asRef(launched)), await readFile(logFile, 'utf8'));
    await sleep(10);
  }
  assert.equal((await status(launched.pid)).Seccomp, '2');
  const { stdout } = await run('ip', ['-n', set.slot.ref.namespace, '-j', 'link', 'show', set.slot.ref.tap]);
  assert.ok(JSON.parse(stdout)[0].flags.includes('LOWER_UP'), stdout); // the tap is open
  await room[Symbol.asyncDispose]();
  assert.equal(await isAlive(asRef(launched)), false);
  assert.equal(await readFile(logFile, 'utf8'), '');
});

test('a machine outlives a killed server, and is found by the next one', { skip }, async () => {
  await using set = await setUp();
  const script = `
    const [module, kit, spec] = process.argv.slice(1);
    const { openRoom } = await import(module);
    const { Operation } = await import(kit);
    const op = new Operation('server', { timeoutMs: 60000 });
    const room = await openRoom(op, JSON.parse(spec));
    const logFile = room.directory + '/log';
    console.log(JSON.stringify(await room.launch(op, ['/bin/sh', '-c', 'sleep 1000 & wait'], { logFile })));
    setInterval(() => {}, 1000);`;
  const server = spawn(
    process.execPath,
    [
      ...['--input-type=module', '-e', script, new URL('./room.ts', import.meta.url).href],
      ...[import.meta.resolve('@sandbox-backend/kit'), JSON.stringify(set.spec)],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [line] = await once(server.stdout!, 'data');
  const machine = asRef(JSON.parse(`${line}`) as LaunchedProcess);
  await end(server);
  await sleep(50);
  assert.equal(await isAlive(machine), true);

  const room = await openRoom(operation(), set.spec);
  assert.equal(await isAlive(machine), true);
  await room[Symbol.asyncDispose]();
  assert.equal(await isAlive(machine), false);
  await room[Symbol.asyncDispose]();
});

test('a control group is gone when it is disposed of', { skip }, async () => {
  const name = testPrefix();
  await using group = await openCgroup(operation(), { name, limits });
  for (const file of group.procsFiles) await access(file);
  await group[Symbol.asyncDispose]();
  for (const file of group.procsFiles) await assert.rejects(access(file), { code: 'ENOENT' });
});

test('a log that became a link is not written through', { skip }, async () => {
  await using set = await setUp();
  const victim = join(set.folder, 'victim');
  await writeFile(victim, 'untouched');
  await symlink(victim, join(set.spec.directory, 'vmm.log'));
  await using room = await openRoom(operation(), set.spec);
  await assert.rejects(room.launch(operation(), ['true'], { logFile: join(set.spec.directory, 'vmm.log') }));
  assert.equal(await readFile(victim, 'utf8'), 'untouched');
  assert.equal((await stat(victim)).uid, 0);
});

test('a file of a build that a snapshot left in the folder is not given to the VMM', { skip }, async () => {
  await using set = await setUp();
  const memory = join(set.folder, 'build', 'rootfs.ext4');
  await link(memory, join(set.spec.directory, 'snapshot.memory'));
  await writeFile(join(set.spec.directory, 'disk'), '');
  await using _room = await openRoom(operation(), set.spec);
  assert.equal((await stat(memory)).uid, 0);
  assert.equal((await stat(join(set.spec.directory, 'disk'))).uid, set.spec.slot.uid);
});

test('a room tells how its VMM sees a path', { skip }, async () => {
  await using set = await setUp();
  await using room = await openRoom(operation(), set.spec);
  const { directory, readOnly } = set.spec;
  assert.equal(room.inside(directory), '/machine');
  assert.equal(room.inside(join(directory, 'qmp.sock')), '/machine/qmp.sock');
  assert.equal(room.inside(join(readOnly['/build']!, 'rootfs.ext4')), '/build/rootfs.ext4');
  assert.equal(room.inside('/usr/share/qemu'), '/usr/share/qemu');
  for (const path of ['/etc/shadow', `${directory}-2/disk`, `${directory}/../other`, '/']) {
    assert.throws(() => room.inside(path), /cannot see/, path);
  }
});

test('what cannot be part of a room is refused', async () => {
  const slot = { index: 1, namespace: 'sbx-1', tap: 'vmtap0', mac: '', address: '10.168.0.6', uid: 300_001 };
  const spec: RoomSpec = { id: 'i1', directory: '/tmp/none', readOnly: {}, slot, limits };
  const wrong: Partial<RoomSpec>[] = [
    { id: '../x' },
    { id: '' },
    { id: '-x' },
    { directory: 'relative' },
    { directory: '/tmp/../etc' },
    { readOnly: { '/build': 'relative' } },
    { readOnly: { '/build/../etc': '/tmp' } },
    { readOnly: { build: '/tmp' } },
    { readOnly: { '/usr/share': '/tmp' } },
    { readOnly: { '/machine': '/tmp' } },
    { slot: { ...slot, namespace: '../../proc/1/ns/net' } },
    { slot: { ...slot, uid: 0 } },
    { limits: { ...limits, memoryMib: Number.NaN } },
    { limits: { ...limits, pids: 0 } },
  ];
  for (const change of wrong) {
    await assert.rejects(
      openRoom(operation(), { ...spec, ...change }),
      { code: 'invalid_argument' },
      JSON.stringify(change),
    );
  }
});
