export * from './atomic-file.ts';
export * from './cpio.ts';
export * from './file-lock.ts';
export * from './id.ts';
export * from './log.ts';
export * from './operation.ts';
export * from './process.ts';
export * from './run.ts';
