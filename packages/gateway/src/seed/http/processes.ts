import type { IncomingMessage } from 'node:http';
import { SandboxError } from '@sandbox-backend/protocol';
import { startReason } from '../services/process.ts';
import { type Exchange, HttpError, sendJson, sendText } from './route.ts';

const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** `POST /process/create`: starts a shell line whose output is collected until somebody waits for it. */
export async function createProcess({ sandbox, req, res }: Exchange): Promise<void> {
  const { cmd, user, envs, cwd } = await readBody(req);
  if (typeof cmd !== 'string') throw new HttpError(400, 'cmd is not a string');
  const pid = await sandbox.simpleProcesses
    .start({ cmd, user: textOr(user, 'user'), cwd: textOr(cwd, 'cwd'), env: readEnvironment(envs) })
    .catch((caught) => {
      throw new HttpError(500, `fork/exec /bin/bash: ${startReason(caught)}`);
    });
  sendJson(res, JSON.stringify({ pid }));
}

/** `POST /process/wait`: answers when the process has ended. Its result is kept until an answer with it has arrived. */
export async function waitForProcess({ sandbox, req, res, signal }: Exchange): Promise<void> {
  const pid = await readPid(req);
  const result = await sandbox.simpleProcesses.wait(pid, signal);
  if (!result) throw notFound(pid);
  res.once('finish', () => sandbox.simpleProcesses.forget(pid, result));
  sendJson(res, JSON.stringify(result));
}

/** `POST /process/kill` */
export async function killProcess({ sandbox, req, res }: Exchange): Promise<void> {
  const pid = await readPid(req);
  if (!(await sandbox.simpleProcesses.kill(pid))) throw notFound(pid);
  sendText(res, 200, '');
}

const notFound = (pid: number) => new HttpError(500, `process not found: ${pid}`);

async function readPid(req: IncomingMessage): Promise<number> {
  const { pid } = await readBody(req);
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid)) throw new HttpError(400, 'pid is not a number');
  return pid;
}

async function readBody(req: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new SandboxError('invalid_argument', 'the body is too large');
    chunks.push(chunk);
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (typeof body === 'object' && body !== null) return body as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new HttpError(400, 'the body is not a JSON object');
}

function textOr(value: unknown, name: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw new HttpError(400, `${name} is not a string`);
  return value;
}

function readEnvironment(value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {};
  const entries =
    typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [['', undefined]];
  if (entries.some(([, text]) => typeof text !== 'string')) throw new HttpError(400, 'envs are not strings');
  return Object.fromEntries(entries) as Record<string, string>;
}
