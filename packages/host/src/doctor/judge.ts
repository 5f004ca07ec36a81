import { overlaps } from '../network/addresses.ts';
import { type Facts, TOOLS } from './facts.ts';
import { forwardBlockers } from './firewall.ts';

/** One thing that was looked at, and how to mend it if it is not well. */
export type Finding = {
  id: string;
  /** `fail`: sandboxes do not start; `warn`: they do, with something missing. */
  status: 'ok' | 'warn' | 'fail';
  detail: string;
  fix?: string;
};

type Verdict = Omit<Finding, 'id'>;

const ok = (detail: string): Verdict => ({ status: 'ok', detail });
const warn = (detail: string, fix?: string): Verdict => ({ status: 'warn', detail, ...(fix ? { fix } : {}) });
const fail = (detail: string, fix?: string): Verdict => ({ status: 'fail', detail, ...(fix ? { fix } : {}) });

/** What the facts mean for running sandboxes. */
export function judge(facts: Facts): Finding[] {
  return Object.entries(JUDGES).map(([id, verdict]) => ({ id, ...verdict(facts) }));
}

const JUDGES: Record<string, (facts: Facts) => Verdict> = {
  root: ({ uid }) =>
    uid === 0
      ? ok('runs as root')
      : fail(`runs as user ${uid}`, 'Start it as root: it makes namespaces and users for sandboxes.'),

  accelerator: ({ kvm }) => {
    const emulation = 'sandboxes run with software emulation, which is slow';
    if (kvm.device === 'absent') {
      return kvm.virtualizationFlags
        ? warn(`/dev/kvm is absent: ${emulation}`, 'Load the module: modprobe kvm-intel or modprobe kvm-amd.')
        : warn(
            `/dev/kvm is absent: ${emulation}`,
            'Use a host with virtualization, or enable nested virtualization.',
          );
    }
    if (kvm.device === 'unusable')
      return warn(`/dev/kvm cannot be opened: ${emulation}`, 'Start the server as root.');
    if (kvm.pvm) {
      return warn(`/dev/kvm belongs to the module kvm_pvm, which does not run ordinary guests: ${emulation}`);
    }
    if (!kvm.virtualizationFlags) {
      return warn('/dev/kvm is there, but the processor shows neither vmx nor svm; the server emulates');
    }
    return ok('/dev/kvm can be opened; the server tries a guest before it relies on it');
  },

  qemu: ({ qemuVersion }) => {
    const fix =
      'Install QEMU 8.2 or newer, on Debian 12: apt-get install -t bookworm-backports qemu-system-x86.';
    if (!qemuVersion) return fail('QEMU is not installed', fix);
    const [major = 0, minor = 0] = qemuVersion.split('.').map(Number);
    return major > 8 || (major === 8 && minor >= 2)
      ? ok(`QEMU ${qemuVersion}`)
      : fail(`QEMU ${qemuVersion} is too old`, fix);
  },

  tools: ({ missingTools }) => {
    if (missingTools.length === 0) return ok('all programs are installed');
    const packages = [...new Set(missingTools.map((tool) => TOOLS[tool] ?? tool))];
    return fail(`not installed: ${missingTools.join(', ')}`, `apt-get install ${packages.join(' ')}`);
  },

  tun: ({ tunDevice }) =>
    tunDevice
      ? ok('/dev/net/tun is there')
      : fail('/dev/net/tun is absent', 'Load the module: modprobe tun.'),

  forwarding: ({ forwarding }) =>
    ok(forwarding ? 'IPv4 forwarding is on' : 'IPv4 forwarding is off; the server turns it on'),

  internet: ({ egressInterface }) =>
    egressInterface
      ? ok(`the internet is behind ${egressInterface}`)
      : warn('there is no default route: sandboxes have no internet'),

  dns: ({ nameserver }) => ok(`sandboxes resolve names through ${nameserver}`),

  subnet: ({ subnet, routes }) => {
    const taken = routes.filter((route) => overlaps(subnet, route));
    return taken.length === 0
      ? ok(`${subnet} is free for sandboxes`)
      : fail(
          `${subnet}, meant for sandboxes, overlaps with routes of this host: ${taken.slice(0, 5).join(', ')}`,
          'Configure another subnet.',
        );
  },

  firewall: ({ baseChains }) => {
    if (!baseChains)
      return warn('the rules of this host could not be read', 'Run it as root, with nftables installed.');
    const blockers = forwardBlockers(baseChains);
    if (blockers.length === 0) return ok('no other firewall stops forwarded packets by policy');
    const names = blockers.map(({ family, table, name }) => `${family} ${table} ${name}`).join(', ');
    return warn(
      `the policy of ${names} drops forwarded packets: sandboxes have no internet unless a rule there lets them through`,
      'With Docker: iptables -I DOCKER-USER -i sbx-+ -j ACCEPT; iptables -I DOCKER-USER -o sbx-+ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT. ' +
        'What sandboxes may reach stays limited by the table sandbox_backend.',
    );
  },

  cgroups: ({ cgroup: { version, controllers } }) => {
    const missing = ['memory', 'cpu', 'pids'].filter((name) => !controllers.includes(name));
    if (missing.length > 0) {
      return warn(
        `no control group limits ${missing.join(', ')}: one sandbox can use up this host`,
        'Mount cgroup v2 at /sys/fs/cgroup.',
      );
    }
    return version === 1
      ? warn(
          'control groups are of version 1',
          'Boot with systemd.unified_cgroup_hierarchy=1: version 2 is faster and is what is tested most.',
        )
      : ok('control groups of version 2');
  },

  disks: ({ data }) => {
    if (!data) return fail('the data folder cannot be read');
    if (data.reflink === undefined) return ok(`${data.root} does not exist yet; the server makes it`);
    return data.reflink
      ? ok(`files in ${data.root} share blocks`)
      : ok(`files in ${data.root} cannot share blocks: disks are qcow2 overlays`);
  },

  space: ({ data }) => {
    if (!data) return warn('free space is not known');
    const free = `${data.freeGib.toFixed(1)} GiB are free for ${data.root}`;
    if (data.freeGib < 1) return fail(free, 'Free disk space.');
    return data.freeGib < 10 ? warn(free, 'A template takes 1 to 3 GiB.') : ok(free);
  },

  memory: ({ memoryMib, processors }) => {
    const detail = `${memoryMib} MiB of memory, ${processors} processors`;
    return memoryMib < 2048
      ? warn(detail, 'A sandbox of 512 MiB without KVM needs about 200 MiB of its own.')
      : ok(detail);
  },

  'open files': ({ openFiles }) =>
    openFiles < 4096
      ? warn(
          `at most ${openFiles} files can be open`,
          'Raise it: ulimit -n 65536, or LimitNOFILE=65536 in the unit.',
        )
      : ok(`at most ${openFiles} files can be open`),

  hardLinks: ({ protectsHardLinks }) =>
    protectsHardLinks
      ? ok('hard links to files of others are refused')
      : warn(
          'anyone may link to files of others: a VMM that was taken over could have such a file handed to it',
          'sysctl -w fs.protected_hardlinks=1',
        ),

  swap: ({ swapMib }) =>
    swapMib > 0
      ? warn(
          `${swapMib} MiB of swap: memory of sandboxes may end up on the disk`,
          'Where sandboxes hold secrets: swapoff -a.',
        )
      : ok('no swap'),

  ksm: ({ ksmRuns }) =>
    ksmRuns
      ? warn(
          'the kernel merges equal pages: a sandbox can learn what others have in memory',
          'echo 2 > /sys/kernel/mm/ksm/run',
        )
      : ok('pages are not merged between sandboxes'),
};
