import type { Readable } from 'node:stream';
import { listFolder, makeFolder, readFileStream, statFile, writeFileStream } from './files.ts';
import {
  closeStdin,
  connectProcess,
  type ProcessOptions,
  type ProcessSpec,
  resizeTerminal,
  sendInput,
  sendSignal,
  startProcess,
  type TerminalSize,
} from './processes.ts';
import { type CallOptions, type EnvdEndpoint, envdHeaders } from './rpc.ts';

/** The daemon inside one sandbox: its processes and files. A facade of the functions beside it. */
export class Envd {
  readonly endpoint: EnvdEndpoint;

  constructor(endpoint: EnvdEndpoint) {
    this.endpoint = endpoint;
  }

  start(spec: ProcessSpec, options?: ProcessOptions) {
    return startProcess(this.endpoint, spec, options);
  }
  connect(pid: number, options?: CallOptions) {
    return connectProcess(this.endpoint, pid, options);
  }
  sendInput(pid: number, input: { type: 'stdin' | 'pty'; data: Buffer }, options?: CallOptions) {
    return sendInput(this.endpoint, pid, input, options);
  }
  closeStdin(pid: number, options?: CallOptions) {
    return closeStdin(this.endpoint, pid, options);
  }
  signal(pid: number, signal: 'SIGTERM' | 'SIGKILL', options?: CallOptions) {
    return sendSignal(this.endpoint, pid, signal, options);
  }
  resize(pid: number, size: TerminalSize, options?: CallOptions) {
    return resizeTerminal(this.endpoint, pid, size, options);
  }
  read(path: string, options?: CallOptions) {
    return readFileStream(this.endpoint, path, options);
  }
  write(path: string, content: Readable | Buffer, options?: CallOptions & { bytes?: number }) {
    return writeFileStream(this.endpoint, path, content, options);
  }
  stat(path: string, options?: CallOptions) {
    return statFile(this.endpoint, path, options);
  }
  list(path: string, options?: CallOptions) {
    return listFolder(this.endpoint, path, options);
  }
  makeFolder(path: string, options?: CallOptions) {
    return makeFolder(this.endpoint, path, options);
  }
  /** Headers by which the data plane passes a request on to a port of the sandbox. */
  headersForPort(port: number) {
    return envdHeaders(this.endpoint, {}, port);
  }
}

export type { CallOptions, EnvdEndpoint } from './rpc.ts';
