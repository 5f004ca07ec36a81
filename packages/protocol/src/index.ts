export * from './build.ts';
export * from './error.ts';
export * from './ids.ts';
export * from './node.ts';
