import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pythonWith } from './python-environment.ts';
import { checkout } from './server.ts';

/** Python with its own grpcio; undefined when this host cannot have it. */
export const pythonWithGrpc = () =>
  pythonWith(['grpcio==1.84.0', 'protobuf==7.36.2'], 'grpc, google.protobuf');

export type SeedCall = {
  method: string;
  request?: object;
  /** Sent as they are, instead of a request. */
  raw?: string;
  /** Seconds. */
  timeout?: number;
  /** Reads the answer as clients do that expect nothing. */
  asEmpty?: boolean;
};
// biome-ignore lint/suspicious/noExplicitAny: what a test reads of it is what it checks
export type SeedAnswer = { code: string; details?: string; response?: any };

/** A Python process that calls the seed's control plane at the address, one call after the other. */
export function pythonSeedClient(python: string, address: string) {
  const child: ChildProcess = spawn(python, [join(checkout, 'tests/harness/seed_client.py'), address], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  const send = async (call: SeedCall): Promise<SeedAnswer> => {
    child.stdin!.write(`${JSON.stringify(call)}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error('the Python client ended');
    return JSON.parse(value) as SeedAnswer;
  };
  return {
    call(method: string, request: object = {}, options: Omit<SeedCall, 'method' | 'request'> = {}) {
      const answer = last.then(() => send({ method, request, ...options }));
      last = answer.catch(() => {});
      return answer;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(child, 'close');
      child.stdin!.end();
      await closed;
    },
  };
}
