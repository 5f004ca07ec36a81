export * from './connection.ts';
export * from './control.ts';
export * from './envd.ts';
export * from './files.ts';
export { request } from './http.ts';
export * from './processes.ts';
export { callStream, callUnary } from './rpc.ts';
export { parseServerTiming } from './server-timing.ts';
