import type { IncomingMessage, ServerResponse } from 'node:http';

/** An answer that the gateway gives itself; clients know these bodies, key by key. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly body: { sandboxId?: string; message: string; port?: number; code: number };

  constructor(body: Refusal['body']) {
    super(body.message);
    this.body = body;
  }
}

/** 502 and this text is how the SDKs tell a dead sandbox from every other failure. */
export const sandboxNotFound = (sandboxId: string) =>
  new Refusal({ sandboxId, message: 'The sandbox was not found', code: 502 });

export const portNotOpen = (sandboxId: string, port: number) =>
  new Refusal({ sandboxId, message: 'The sandbox is running but port is not open', port, code: 502 });

export const connectionLost = (sandboxId: string, port: number) =>
  new Refusal({
    sandboxId,
    message: 'The sandbox closed the connection before it answered',
    port,
    code: 502,
  });

export const badRequest = (message: string) => new Refusal({ message, code: 400 });

/** Anything thrown, as an answer; what is not ours is told to nobody. */
export const asRefusal = (caught: unknown): Refusal =>
  caught instanceof Refusal ? caught : new Refusal({ message: 'The gateway failed', code: 500 });

/** A client may go on sending what nobody will read; it gets its answer meanwhile, up to this much. */
const LARGEST_UNREAD_BYTES = 16 * 1024 * 1024;

export function refuse(req: IncomingMessage, res: ServerResponse, caught: unknown): void {
  const { body } = asRefusal(caught);
  if (res.headersSent) {
    req.socket.destroy();
    return;
  }
  const text = JSON.stringify(body);
  res.writeHead(body.code, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
  res.end(req.method === 'HEAD' ? undefined : text);
  let unread = 0;
  req.unpipe();
  req.on('data', (chunk: Buffer) => {
    unread += chunk.length;
    if (unread > LARGEST_UNREAD_BYTES) req.socket.destroy();
  });
}
