export * from './operation.ts';
export * from './run.ts';
export * from './process.ts';
