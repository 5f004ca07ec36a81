import type { VmmIdentity } from '@sandbox-backend/protocol';

export type Accelerator = VmmIdentity['accelerator'];
export type AcceleratorChoice = { accelerator: Accelerator; reason: string };

/** What can be seen of a host's KVM without starting anything. */
export type KvmFacts = {
  /** `unusable`: there, but this process may not open it for reading and writing. */
  device: 'absent' | 'unusable' | 'present';
  /** The module kvm_pvm is loaded: it runs only guests that were changed for it. */
  pvm: boolean;
  /** The processor says `vmx` or `svm`. */
  virtualization: boolean;
};

/** Chooses where that can be done by looking; `probe` where only a guest can tell. */
export function decideAccelerator(facts: KvmFacts, force?: Accelerator): AcceleratorChoice | 'probe' {
  const emulate = (reason: string): AcceleratorChoice => ({ accelerator: 'tcg', reason });
  if (force) return { accelerator: force, reason: `the configuration asks for ${force}` };
  if (facts.device === 'absent') return emulate('this host has no /dev/kvm');
  if (facts.device === 'unusable') return emulate('/dev/kvm may not be opened by this user');
  if (facts.pvm) return emulate('/dev/kvm is that of kvm_pvm, which cannot run an ordinary guest');
  if (!facts.virtualization) return emulate('the processor offers neither vmx nor svm');
  return 'probe';
}
