export * from './build.ts';
export * from './envd.ts';
export * from './error.ts';
export * from './ids.ts';
export * from './node.ts';
