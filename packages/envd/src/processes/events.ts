import { encodeEnvelope } from '../http/connect.ts';
import type { EndEvent } from './exit-status.ts';

export type OutputKind = 'stdout' | 'stderr' | 'pty';

export const KEEPALIVE_EVENT = '{"event":{"keepalive":{}}}';

export const startEvent = (pid: number) => encodeEnvelope(`{"event":{"start":{"pid":${pid}}}}`);

export const dataEvent = (kind: OutputKind, bytes: Uint8Array) => {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  return encodeEnvelope(`{"event":{"data":{"${kind}":"${text}"}}}`);
};

export const endEvent = (end: EndEvent) => encodeEnvelope(JSON.stringify({ event: { end } }));
