/**
 * A program that speaks the HTTP API of a VMM, with its rules of phases and fields, and runs nothing. It is for
 * faults that the real ones do not give on demand; `api-rules.test.ts` runs the same checks on it and on them.
 *
 *   fake-vmm-program.ts firecracker --api-sock PATH
 *   fake-vmm-program.ts cloud-hypervisor --api-socket path=PATH …
 *
 * `FAKE_FAULT` is a fault and the path of the request that meets it: `slow /vm`, `half /vm`, `crash /vm`,
 * `other-drive /vm/config`.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { fakeCloudHypervisor } from '../cloud-hypervisor/fake-api.ts';
import { fakeFirecracker } from '../firecracker/fake-api.ts';

export type FakeFiles = {
  exists(path: string): boolean;
  read(path: string): string;
  write(path: string, data: string): void;
};
/** `exit`: the process ends after its answer. */
export type FakeAnswer = { status: number; body?: unknown; exit?: number };
export type FakeApi = (method: string, path: string, body: string) => FakeAnswer;

const [flavor, ...args] = process.argv.slice(2);
const files: FakeFiles = {
  exists: existsSync,
  read: (path) => readFileSync(path, 'utf8'),
  write: (path, data) => writeFileSync(path, data),
};
const api = flavor === 'firecracker' ? fakeFirecracker(files) : fakeCloudHypervisor(files);
const index = args.findIndex((word) => word === '--api-sock' || word === '--api-socket');
const socket = (args[index + 1] ?? '').replace(/^path=/, '');
const [fault, faultPath] = (process.env.FAKE_FAULT ?? '').split(' ');

createServer((request, response) => void serve(request, response)).listen(socket);

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? '';
  const body = await text(request);
  const met = path === faultPath ? fault : undefined;
  if (met === 'slow') return; // for ever
  if (met === 'crash') {
    console.error('the fake VMM crashed in a request');
    process.exit(1);
  }
  if (met === 'half') {
    response.writeHead(200, { 'content-length': 1000 });
    response.write('{"half":');
    setTimeout(() => request.socket.destroy(), 20);
    return;
  }
  const answer = api(request.method ?? '', path, body);
  let sent = answer.body === undefined ? '' : JSON.stringify(answer.body);
  if (met === 'other-drive') sent = sent.replaceAll('drive-', 'someone-elses-');
  response.writeHead(answer.status, sent ? { 'content-length': Buffer.byteLength(sent) } : {});
  response.end(sent, () => {
    if (answer.exit !== undefined) process.exit(answer.exit);
  });
}
