import type { SandboxError } from '@sandbox-backend/protocol';
import { type BodyWriter, streamBody } from '../runtime.ts';
import { CONNECT_STREAM, encodeEnvelope, endEnvelope } from './connect.ts';

const STREAM_HEADERS = { headers: { 'content-type': CONNECT_STREAM } };
/** A reader that is further behind than this is waited for. */
const FULL_BYTES = 1024 * 1024;
const DEFAULT_KEEPALIVE_SECONDS = 90;

/**
 * The answers of one streaming call, as they go to one reader. What a slow reader has not taken yet
 * is kept in `pending`; whoever pushes looks at `full` and holds back.
 */
export class EventStream {
  private readonly queue: Buffer[] = [];
  private pending = 0;
  private writer: BodyWriter | undefined;
  private writing = false;
  private ended = false;
  private onDrain: (() => void) | undefined;
  private readonly keepalive: ReturnType<typeof setInterval>;
  private readonly onClose: () => void;
  private readonly request: Request;

  /** `onClose` is called once, when the stream has ended for whatever reason. */
  constructor(request: Request, keepaliveMessage: string, onClose: () => void) {
    this.onClose = onClose;
    this.request = request;
    const seconds = Number(request.headers.get('keepalive-ping-interval') ?? 0);
    this.keepalive = setInterval(
      () => {
        if (this.pending === 0) this.push(encodeEnvelope(keepaliveMessage));
      },
      (seconds >= 1 && seconds <= 3600 ? seconds : DEFAULT_KEEPALIVE_SECONDS) * 1000,
    );
  }

  get full(): boolean {
    return this.pending > FULL_BYTES && !this.ended;
  }

  get pendingBytes(): number {
    return this.pending;
  }

  get closed(): boolean {
    return this.ended;
  }

  response(): Response {
    const body = streamBody(
      (writer) => {
        this.writer = writer;
        this.pump();
      },
      () => this.abandon(),
    );
    return new Response(body, STREAM_HEADERS);
  }

  push(envelope: Buffer): void {
    if (this.ended) return;
    this.queue.push(envelope);
    this.pending += envelope.length;
    this.pump();
  }

  /** The last message; what is still pending is delivered before it. */
  end(error?: SandboxError): void {
    if (this.ended) return;
    this.push(endEnvelope(error));
    this.close();
  }

  /** Resolves when the reader has caught up, or is gone. */
  drained(): Promise<void> {
    if (!this.full) return Promise.resolve();
    if (!this.writer) this.watchForAbort();
    return new Promise((resolve) => {
      const before = this.onDrain;
      this.onDrain = () => {
        before?.();
        resolve();
      };
    });
  }

  /** A reader that left before it took anything is not reported to the body. */
  private watchForAbort(): void {
    const { signal } = this.request;
    if (signal.aborted) this.abandon();
    else signal.addEventListener('abort', () => this.abandon(), { once: true });
  }

  private abandon(): void {
    this.writer = undefined;
    this.queue.length = 0;
    this.close();
  }

  private close(): void {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.keepalive);
    this.wake();
    this.onClose();
  }

  private wake(): void {
    const drained = this.onDrain;
    this.onDrain = undefined;
    drained?.();
  }

  private pump(): void {
    const { writer } = this;
    if (!writer || this.writing) return;
    if (this.queue.length === 0) {
      if (this.ended) {
        this.writer = undefined;
        writer.end();
      }
      return;
    }
    this.writing = true;
    const envelope = this.queue.length === 1 ? this.queue[0]! : Buffer.concat(this.queue);
    this.queue.length = 0;
    writer.write(envelope).then(
      () => {
        this.writing = false;
        this.pending -= envelope.length;
        if (!this.full) this.wake();
        this.pump();
      },
      () => this.abandon(),
    );
  }
}
