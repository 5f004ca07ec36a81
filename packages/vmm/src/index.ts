export { type AcceleratorOptions, chooseAccelerator } from './qemu/choose-accelerator.ts';
export type { Accelerator, AcceleratorChoice } from './qemu/decide-accelerator.ts';
export { qemuIdentity } from './qemu/identity.ts';
export { qemuVmm } from './qemu/vmm.ts';
export * from './vmm.ts';
