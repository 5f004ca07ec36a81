export * from './host.ts';
export { openSlotPool, type SlotPoolOptions } from './network/pool.ts';
