import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { vmmDifferences } from '@sandbox-backend/protocol';
import { FAKE_IDENTITY, fakeVmm, type Vmm } from '@sandbox-backend/vmm';
import { readHostConfig } from './config.ts';
import { vmmsOf, withHypervisor } from './vmms.ts';

const vmm = (kind: 'firecracker' | 'cloud-hypervisor' | 'qemu', diskFormats: ('raw' | 'qcow2')[]): Vmm => ({
  ...fakeVmm(),
  identity: { ...FAKE_IDENTITY, kind },
  traits: {
    diskFormats,
    generationId: true,
    mapsDisks: false,
    reportsFreePages: false,
    memoryInState: false,
  },
});
const kvm = { accelerator: 'kvm' as const, reason: 'a guest booted' };
const all = [
  { kind: 'firecracker' as const, vmm: vmm('firecracker', ['raw']) },
  { kind: 'cloud-hypervisor' as const, vmm: vmm('cloud-hypervisor', ['raw', 'qcow2']) },
  { kind: 'qemu' as const, vmm: vmm('qemu', ['raw', 'qcow2']) },
];
const onlyQemu = [
  { kind: 'firecracker' as const, reason: 'it needs KVM' },
  { kind: 'cloud-hypervisor' as const, reason: 'it is not installed' },
  all[2]!,
];

test('auto takes the best that can clone the disks of this host', () => {
  const vmms = vmmsOf(all, kvm, 'auto');
  assert.equal(vmms.choose('auto', { cheapRawDisks: true }).identity.kind, 'firecracker');
  assert.equal(vmms.choose('auto', { cheapRawDisks: false }).identity.kind, 'cloud-hypervisor');
  assert.equal(vmmsOf(onlyQemu, kvm, 'auto').preferred.identity.kind, 'qemu');
});

test('a template has what it asks for, the configuration decides for the others', () => {
  const vmms = vmmsOf(all, kvm, 'qemu');
  assert.equal(vmms.choose('auto', { cheapRawDisks: true }).identity.kind, 'qemu');
  assert.equal(vmms.choose('firecracker', { cheapRawDisks: false }).identity.kind, 'firecracker');
});

test('what a host cannot run is refused with the reason, and is in the matrix', () => {
  const vmms = vmmsOf(onlyQemu, kvm, 'auto');
  assert.throws(() => vmms.find('firecracker'), {
    code: 'failed_precondition',
    message: 'this host cannot run firecracker: it needs KVM',
  });
  assert.deepEqual(vmms.capabilities.slice(0, 2), [
    { vmm: 'firecracker', available: false, reason: 'it needs KVM' },
    { vmm: 'cloud-hypervisor', available: false, reason: 'it is not installed' },
  ]);
  assert.equal(vmms.capabilities[2]?.available, true);
});

test('a snapshot is refused on another VMM, machine version, processor or kernel, and says what differs', () => {
  const here = {
    ...{ kind: 'qemu' as const, version: '10.0.2', accelerator: 'kvm' as const, machine: 'microvm@10.0' },
    ...{ cpuModel: 'AuthenticAMD 23/1/2', hostKernel: '6.12' },
  };
  assert.deepEqual(vmmDifferences(here, { ...here, version: '10.0.9' }), []);
  assert.deepEqual(vmmDifferences({ ...here, hostKernel: '6.1', cpuModel: 'GenuineIntel 6/85/7' }, here), [
    'cpuModel: built with GenuineIntel 6/85/7, this host has AuthenticAMD 23/1/2',
    'hostKernel: built with 6.1, this host has 6.12',
  ]);
  assert.equal(
    vmmDifferences({ ...here, kind: 'firecracker', machine: 'snapshot format 10' }, here).length,
    2,
  );
});

test('a template names only a hypervisor that the owner of the host allows', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vmms-'));
  try {
    const program = join(folder, 'my-firecracker');
    await writeFile(program, '#!/bin/sh\n');
    await chmod(program, 0o755);
    const config = readHostConfig({});
    await assert.rejects(withHypervisor(config, program, 'auto'), { code: 'permission_denied' });
    const allowed = readHostConfig({ SANDBOX_HYPERVISOR_PATHS: `/opt/other:${program}` });
    const own = await withHypervisor(allowed, program, 'auto');
    assert.equal(own.firecrackerBinary, program);
    assert.equal(own.vmm, 'firecracker');
    await assert.rejects(withHypervisor(allowed, '/opt/other', 'qemu'), { code: 'failed_precondition' });
  } finally {
    await rm(folder, { recursive: true });
  }
});
