export * from './vmm.ts';
