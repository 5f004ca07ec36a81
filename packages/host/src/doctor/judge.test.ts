import assert from 'node:assert/strict';
import test from 'node:test';
import type { Facts } from './facts.ts';
import { parseChains } from './firewall.ts';
import { inspectHost } from './inspect-host.ts';
import { judge } from './judge.ts';

const healthy: Facts = {
  uid: 0,
  architecture: 'x64',
  processors: 8,
  memoryMib: 32_000,
  swapMib: 0,
  protectsHardLinks: true,
  ksmRuns: false,
  kvm: { device: 'usable', pvm: false, virtualizationFlags: true },
  qemuVersion: '10.0.2',
  missingTools: [],
  tunDevice: true,
  forwarding: true,
  egressInterface: 'eth0',
  nameserver: '192.168.1.1',
  subnet: '10.168.0.0/16',
  routes: ['192.168.1.0/24', '127.0.0.1'],
  baseChains: [
    { family: 'inet', table: 'sandbox_backend', name: 'forward', hook: 'forward', policy: 'drop' },
  ],
  cgroup: { version: 2, controllers: ['memory', 'cpu', 'pids'] },
  data: { root: '/var/lib/sandbox', reflink: true, freeGib: 100 },
  openFiles: 65_536,
};

test('a healthy host has nothing to mend', () => {
  for (const finding of judge(healthy)) assert.equal(finding.status, 'ok', JSON.stringify(finding));
});

test('each thing that is wrong is one finding', () => {
  const docker = { family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', policy: 'drop' };
  const table: [Partial<Facts>, id: string, 'ok' | 'warn' | 'fail', RegExp][] = [
    [{ uid: 1000 }, 'root', 'fail', /user 1000/],
    [{ kvm: { ...healthy.kvm, device: 'absent' } }, 'accelerator', 'warn', /absent.*modprobe/],
    [{ kvm: { ...healthy.kvm, device: 'unusable' } }, 'accelerator', 'warn', /cannot be opened/],
    [{ kvm: { ...healthy.kvm, pvm: true } }, 'accelerator', 'warn', /kvm_pvm/],
    [{ kvm: { ...healthy.kvm, virtualizationFlags: false } }, 'accelerator', 'warn', /neither vmx nor svm/],
    [{ qemuVersion: undefined }, 'qemu', 'fail', /not installed.*backports/],
    [{ qemuVersion: '7.2.11' }, 'qemu', 'fail', /too old/],
    [{ qemuVersion: '8.1.0' }, 'qemu', 'fail', /too old/],
    [{ qemuVersion: '8.2' }, 'qemu', 'ok', /8\.2/],
    [
      { missingTools: ['nsenter', 'unshare', 'nft'] },
      'tools',
      'fail',
      /apt-get install util-linux nftables$/,
    ],
    [{ tunDevice: false }, 'tun', 'fail', /modprobe tun/],
    [{ forwarding: false }, 'forwarding', 'ok', /turns it on/],
    [{ egressInterface: undefined }, 'internet', 'warn', /no internet/],
    [{ routes: ['10.0.0.0/8'] }, 'subnet', 'fail', /10\.0\.0\.0\/8/],
    [{ routes: ['10.168.3.0/24'] }, 'subnet', 'fail', /10\.168\.3\.0\/24/],
    [{ baseChains: [docker] }, 'firewall', 'warn', /ip filter FORWARD.*DOCKER-USER/],
    [{ baseChains: [{ ...docker, policy: 'accept' }] }, 'firewall', 'ok', /no other/],
    [{ baseChains: [{ ...docker, hook: 'input' }] }, 'firewall', 'ok', /no other/],
    [{ baseChains: undefined }, 'firewall', 'warn', /could not be read/],
    [{ cgroup: { version: undefined, controllers: [] } }, 'cgroups', 'warn', /memory, cpu, pids/],
    [
      { cgroup: { version: 1, controllers: ['memory', 'cpu', 'cpuacct', 'pids'] } },
      'cgroups',
      'warn',
      /version 1/,
    ],
    [{ cgroup: { version: 2, controllers: ['cpu', 'pids'] } }, 'cgroups', 'warn', /limits memory:/],
    [{ data: { ...healthy.data!, reflink: false } }, 'disks', 'ok', /qcow2/],
    [{ data: undefined }, 'disks', 'fail', /cannot be read/],
    [{ data: { ...healthy.data!, freeGib: 0.5 } }, 'space', 'fail', /0\.5 GiB/],
    [{ data: { ...healthy.data!, freeGib: 5 } }, 'space', 'warn', /5\.0 GiB/],
    [{ memoryMib: 1024 }, 'memory', 'warn', /1024 MiB/],
    [{ openFiles: 1024 }, 'open files', 'warn', /1024/],
    [{ swapMib: 2048 }, 'swap', 'warn', /swapoff/],
    [{ protectsHardLinks: false }, 'hardLinks', 'warn', /protected_hardlinks=1/],
    [{ ksmRuns: true }, 'ksm', 'warn', /merges/],
  ];
  for (const [change, id, status, text] of table) {
    const findings = judge({ ...healthy, ...change });
    const finding = findings.find((finding) => finding.id === id)!;
    assert.equal(finding.status, status, JSON.stringify(finding));
    assert.match(`${finding.detail} ${finding.fix ?? ''}`.trim(), text);
    if (!('data' in change)) {
      assert.ok(
        findings.every((other) => other.id === id || other.status === 'ok'),
        `${id} changes others too`,
      );
    }
  }
});

test('chains that hook nothing are not asked about packets', () => {
  const json = JSON.stringify({
    nftables: [
      { metainfo: { json_schema_version: 1 } },
      { chain: { family: 'ip', table: 'filter', name: 'DOCKER', handle: 1 } },
      { chain: { family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', prio: 0, policy: 'drop' } },
    ],
  });
  assert.deepEqual(parseChains(json), [
    { family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', policy: 'drop' },
  ]);
});

test('this host can be inspected, also where the data folder does not exist yet', async (t) => {
  const findings = await inspectHost({ dataRoot: '/nonexistent/folder' });
  for (const { id, status, detail } of findings) t.diagnostic(`${status} ${id}: ${detail}`);
  assert.equal(new Set(findings.map(({ id }) => id)).size, findings.length);
  assert.ok(findings.every(({ detail }) => detail.length > 0));
});
