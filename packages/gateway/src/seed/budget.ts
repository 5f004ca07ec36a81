/** Counts bytes that are held for somebody, so that all he makes us hold has one bound. */
export class Budget {
  private readonly limit: number;
  private used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get isSpent(): boolean {
    return this.used > this.limit;
  }

  /** Takes what there is room for; false, and nothing is taken, when there is none. */
  tryTake(bytes: number): boolean {
    if (this.used + bytes > this.limit) return false;
    this.used += bytes;
    return true;
  }

  /** For what is here already, whether there is room or not. */
  take(bytes: number): void {
    this.used += bytes;
  }

  give(bytes: number): void {
    this.used -= bytes;
  }
}
