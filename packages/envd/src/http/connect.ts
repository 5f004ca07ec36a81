import { type ErrorCode, SandboxError } from '@sandbox-backend/protocol';
import { parseObject } from './json.ts';

// The Connect protocol with the JSON codec: https://connectrpc.com/docs/protocol

export const CONNECT_STREAM = 'application/connect+json';
const END_OF_STREAM = 0x02;
const HEAD_BYTES = 5;
/** A message is held in memory as a whole. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

export function encodeEnvelope(json: string, flags = 0): Buffer {
  const length = Buffer.byteLength(json);
  const envelope = Buffer.allocUnsafe(HEAD_BYTES + length);
  envelope[0] = flags;
  envelope.writeUInt32BE(length, 1);
  envelope.write(json, HEAD_BYTES);
  return envelope;
}

export const endEnvelope = (error?: SandboxError) =>
  encodeEnvelope(error ? JSON.stringify({ error: connectError(error) }) : '{}', END_OF_STREAM);

/** Connect has no code for a full disk. */
const connectCode = (code: ErrorCode) => (code === 'no_space' ? 'resource_exhausted' : code);

const connectError = (error: SandboxError) => ({ code: connectCode(error.code), message: error.message });

export async function readUnary(request: Request): Promise<Record<string, unknown>> {
  checkLength(Number(request.headers.get('content-length') ?? 0));
  return parseObject(await request.text());
}

/** The one message of a call that streams its answers. */
export async function readSingle(request: Request): Promise<Record<string, unknown>> {
  checkLength(Number(request.headers.get('content-length') ?? 0));
  const body = Buffer.from(await request.arrayBuffer());
  if (body.length < HEAD_BYTES || body.length < HEAD_BYTES + body.readUInt32BE(1)) {
    throw new SandboxError('invalid_argument', 'the stream holds no whole message');
  }
  checkFlags(body[0]!);
  return parseObject(body.toString('utf8', HEAD_BYTES, HEAD_BYTES + body.readUInt32BE(1)));
}

/** The messages of a call that streams its requests. */
export async function* readMessages(request: Request): AsyncGenerator<Record<string, unknown>> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of request.body ?? []) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    while (rest.length >= HEAD_BYTES) {
      const length = rest.readUInt32BE(1);
      checkLength(length);
      if (rest.length < HEAD_BYTES + length) break;
      const flags = rest[0]!;
      if (flags & END_OF_STREAM) return;
      checkFlags(flags);
      yield parseObject(rest.toString('utf8', HEAD_BYTES, HEAD_BYTES + length));
      rest = rest.subarray(HEAD_BYTES + length);
    }
  }
  if (rest.length > 0) throw new SandboxError('invalid_argument', 'the stream ended inside a message');
}

function checkFlags(flags: number): void {
  if (flags & 0x01) throw new SandboxError('unimplemented', 'compressed messages are not understood');
}

function checkLength(bytes: number): void {
  if (bytes > MAX_MESSAGE_BYTES) {
    throw new SandboxError('resource_exhausted', `the message of ${bytes} bytes is larger than 64 MiB`);
  }
}

/** A call with one answer: the status says that it failed. */
export function unaryError(error: SandboxError): Response {
  return new Response(JSON.stringify(connectError(error)), {
    status: connectCode(error.code) === 'resource_exhausted' ? 429 : error.httpStatus,
    headers: { 'content-type': 'application/json' },
  });
}

/** A call with a stream of answers: the status is always 200, the last message says that it failed. */
export const streamError = (error: SandboxError) => streamOf([endEnvelope(error)]);

export function streamOf(envelopes: readonly Buffer[]): Response {
  return new Response(Buffer.concat(envelopes), { headers: { 'content-type': CONNECT_STREAM } });
}

/** `Connect-Timeout-Ms`, or undefined for no limit. */
export function timeoutOf(request: Request): number | undefined {
  const ms = Number(request.headers.get('connect-timeout-ms') ?? 0);
  return Number.isFinite(ms) && ms > 0 ? Math.min(ms, 0x7fffffff) : undefined;
}
