import assert from 'node:assert/strict';
import test from 'node:test';
import { decideAccelerator, type KvmFacts } from './decide-accelerator.ts';

const good: KvmFacts = { device: 'present', pvm: false, virtualization: true };

const CASES: [what: string, facts: KvmFacts, force: 'kvm' | 'tcg' | undefined, expected: string][] = [
  ['all that can be seen is good', good, undefined, 'probe'],
  ['no device', { ...good, device: 'absent' }, undefined, 'tcg: this host has no /dev/kvm'],
  ['no access', { ...good, device: 'unusable' }, undefined, 'tcg: /dev/kvm may not be opened by this user'],
  [
    'PVM',
    { ...good, pvm: true },
    undefined,
    'tcg: /dev/kvm is that of kvm_pvm, which cannot run an ordinary guest',
  ],
  [
    'no vmx or svm',
    { ...good, virtualization: false },
    undefined,
    'tcg: the processor offers neither vmx nor svm',
  ],
  ['forced on', { ...good, device: 'absent' }, 'kvm', 'kvm: the configuration asks for kvm'],
  ['forced off', good, 'tcg', 'tcg: the configuration asks for tcg'],
];

for (const [what, facts, force, expected] of CASES) {
  test(`accelerator: ${what}`, () => {
    const choice = decideAccelerator(facts, force);
    assert.equal(choice === 'probe' ? choice : `${choice.accelerator}: ${choice.reason}`, expected);
  });
}
