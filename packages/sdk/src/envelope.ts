import { SandboxError } from '@sandbox-backend/protocol';

export const END_OF_STREAM = 0x02;
const HEAD_BYTES = 5;
const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;

export type Envelope = { flags: number; data: Buffer };

/** One message of a Connect stream: a byte of flags, the length (big endian, 4 bytes) and the JSON. */
export function encodeEnvelope(message: unknown, flags = 0): Buffer {
  const json = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(flags);
  head.writeUInt32BE(json.length, 1);
  return Buffer.concat([head, json]);
}

/** Cuts a byte stream into messages. Errors: `internal` for one that is cut off or unreasonably large. */
export async function* decodeEnvelopes(bytes: AsyncIterable<Buffer>): AsyncGenerator<Envelope> {
  let pending: Buffer[] = [];
  let available = 0;
  let wanted = HEAD_BYTES;
  for await (const chunk of bytes) {
    pending.push(chunk);
    available += chunk.length;
    if (available < wanted) continue;
    let rest = Buffer.concat(pending);
    for (;;) {
      wanted = HEAD_BYTES + (rest.length >= HEAD_BYTES ? rest.readUInt32BE(1) : 0);
      if (wanted > MAX_MESSAGE_BYTES) {
        throw new SandboxError('internal', `A message of ${wanted} bytes is larger than envd may send`);
      }
      if (rest.length < HEAD_BYTES || rest.length < wanted) break;
      yield { flags: rest.readUInt8(0), data: rest.subarray(HEAD_BYTES, wanted) };
      rest = rest.subarray(wanted);
    }
    pending = [rest];
    available = rest.length;
  }
  if (available > 0) throw new SandboxError('unavailable', 'The stream ended inside a message');
}
