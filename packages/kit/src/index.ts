export * from './operation.ts';
export * from './run.ts';
