import { randomBytes } from 'node:crypto';
import type { Outlet } from './outlet.ts';

/** What a client has subscribed to, on one connection. Nothing is sent before the answer that tells its id. */
export class Subscription {
  readonly id = `0x${randomBytes(16).toString('hex').replace(/^0+/, '')}`;
  readonly outlet: Outlet;
  private readonly ended = new AbortController();
  /** Aborted when the client has unsubscribed or is gone. */
  readonly signal = this.ended.signal;
  private readonly service: string;
  /** Undefined once it may send. */
  private waiting: string[] | undefined = [];
  private readonly opened = Promise.withResolvers<void>();
  /** Resolves when what was held back for it has been sent, or never will be. */
  readonly isOpen = this.opened.promise;
  private timer: NodeJS.Timeout | undefined;

  constructor(service: string, outlet: Outlet) {
    this.service = service;
    this.outlet = outlet;
  }

  /** `result` is JSON. */
  notify(result: string): void {
    if (this.signal.aborted) return;
    const text = `{"jsonrpc":"2.0","method":${JSON.stringify(`${this.service}_subscription`)},"params":{"subscription":"${this.id}","result":${result}}}`;
    if (this.waiting) {
      this.waiting.push(text);
      this.outlet.count(text.length);
    } else {
      this.outlet.send(text);
    }
  }

  /** The answer is on its way. Clients that make ready for what follows only after they have read it get the time for that. */
  activate(delayMs: number): void {
    if (delayMs > 0) this.timer = setTimeout(() => this.flush(true), delayMs);
    else this.flush(true);
  }

  end(): void {
    clearTimeout(this.timer);
    this.flush(false);
    this.ended.abort();
  }

  private flush(isWanted: boolean): void {
    const texts = this.waiting ?? [];
    this.waiting = undefined;
    for (const text of texts) {
      this.outlet.count(-text.length);
      if (isWanted) this.outlet.send(text);
    }
    this.opened.resolve();
  }
}
