import type { WebSocket } from 'ws';

/** A reader that is further behind than this is waited for. */
const FULL_BYTES = 1024 * 1024;
/** One that is this far behind while others keep up is cut off. */
const CUT_OFF_BYTES = 64 * 1024 * 1024;

/** What goes to one client. What it has not taken yet is counted, so that whoever sends can hold back. */
export class Outlet {
  private readonly socket: WebSocket;
  private pending = 0;
  private readonly waiting = new Set<() => void>();
  private readonly unsent = new Set<() => void>();
  private closed = false;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.once('close', () => {
      this.closed = true;
      for (const settle of this.unsent) settle();
      this.wake();
    });
  }

  get isFull(): boolean {
    return !this.closed && this.pending > FULL_BYTES;
  }

  get isFarBehind(): boolean {
    return this.pending > CUT_OFF_BYTES;
  }

  /** `onGone` is called once, when the client has taken it or never will. */
  send(text: string, onGone: () => void = () => {}): void {
    if (this.closed) return void onGone();
    const bytes = Buffer.from(text);
    this.count(bytes.length);
    const settle = () => {
      if (!this.unsent.delete(settle)) return;
      this.count(-bytes.length);
      onGone();
    };
    this.unsent.add(settle);
    this.socket.send(bytes, { binary: false }, settle);
  }

  /** For what is held back and will be sent: it counts as if it were on its way. */
  count(bytes: number): void {
    this.pending += bytes;
    if (!this.isFull) this.wake();
  }

  /** Resolves when the client has caught up, or is gone. */
  drained(): Promise<void> {
    return this.isFull ? new Promise((resolve) => this.waiting.add(resolve)) : Promise.resolve();
  }

  cutOff(): void {
    this.socket.terminate();
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}
