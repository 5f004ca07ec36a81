export { FAKE_IDENTITY, type FakeOptions, fakeVmm } from './fake/vmm.ts';
export { type AcceleratorOptions, chooseAccelerator } from './qemu/choose-accelerator.ts';
export type { Accelerator, AcceleratorChoice } from './qemu/decide-accelerator.ts';
export { qemuIdentity } from './qemu/identity.ts';
export { qemuVmm } from './qemu/vmm.ts';
export { type PlainRoom, plainRoom } from './testing/plain-room.ts';
export * from './vmm.ts';
