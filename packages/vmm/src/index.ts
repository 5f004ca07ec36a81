export { qemuIdentity } from './qemu/identity.ts';
export { qemuVmm } from './qemu/vmm.ts';
export * from './vmm.ts';
