import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { readPreface } from './preface.ts';

/** A client that takes so little of what it is sent is not listened to either: its requests cost answers. */
const DEAF_BYTES = 8 * 1024 * 1024;
/** Programs wait when so much of what they printed is on its way. */
const FULL_BYTES = 1024 * 1024;

/**
 * The client's side of a connection as the SSH protocol sees it: without the preface, and with a bound on what
 * waits to be sent, which the protocol's own code does not look at.
 */
export class Entrance extends Duplex {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** The sandbox that the preface names; undefined without one, and before anything came. */
  sandboxId: string | undefined;
  private readonly socket: Socket;
  private head: Buffer | undefined = Buffer.alloc(0);

  constructor(socket: Socket) {
    super({ writableHighWaterMark: FULL_BYTES, decodeStrings: true });
    this.socket = socket;
    this.remoteAddress = socket.remoteAddress ?? '';
    this.remotePort = socket.remotePort ?? 0;
    this.localAddress = socket.localAddress ?? '';
    this.localPort = socket.localPort ?? 0;
    socket.pause();
    socket.on('data', (chunk) => this.receive(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    if (this.writableLength <= DEAF_BYTES) this.socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.socket.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: () => void): void {
    this.socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.socket.destroy();
    done(error);
  }

  /** Resolves when the client has taken most of what it was sent, or is gone. */
  async room(): Promise<void> {
    while (this.writableNeedDrain && !this.destroyed) {
      await new Promise<void>((resolve) => {
        const settle = () => {
          this.off('drain', settle);
          this.off('close', settle);
          resolve();
        };
        this.on('drain', settle);
        this.on('close', settle);
      });
    }
  }

  private receive(chunk: Buffer): void {
    const bytes = this.head ? this.readHead(chunk) : chunk;
    if (!bytes || this.destroyed) return;
    const more = this.push(bytes);
    if (this.writableLength > DEAF_BYTES) {
      this.socket.pause();
      this.once('drain', () => this.socket.resume());
    } else if (!more) {
      this.socket.pause();
    }
  }

  /** What is left of the first bytes without the preface; undefined while it is not complete. */
  private readHead(chunk: Buffer): Buffer | undefined {
    const bytes = Buffer.concat([this.head!, chunk]);
    const preface = readPreface(bytes);
    if (preface.type === 'partial') {
      this.head = bytes;
      return undefined;
    }
    this.head = undefined;
    if (preface.type === 'none') return bytes;
    if (preface.type === 'sandbox') {
      this.sandboxId = preface.sandboxId;
      return preface.rest.length > 0 ? preface.rest : undefined;
    }
    this.destroy();
    return undefined;
  }
}
