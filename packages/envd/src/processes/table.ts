import { SandboxError } from '@sandbox-backend/protocol';
import { readNumber, readObject, readText } from '../http/json.ts';
import type { GuestProcess } from './process.ts';

/** How long the exit status of a process can be asked for: after it was, and if it never was. */
const KEPT_MS = 30_000;
const KEPT_UNFETCHED_MS = 5 * 60_000;
const KEPT_COUNT = 4096;

/** The processes that run, and those that ended a moment ago. */
export class ProcessTable {
  private readonly live = new Map<number, GuestProcess>();
  /** In the order in which they ended. Old ones go when another comes: an idle guest has no timer. */
  private readonly ended = new Map<number, GuestProcess>();

  add(process: GuestProcess): void {
    this.ended.delete(process.pid);
    if (!process.end) this.live.set(process.pid, process);
  }

  moveToEnded(process: GuestProcess): void {
    this.live.delete(process.pid);
    this.prune();
    this.ended.set(process.pid, process);
  }

  list(): Iterable<GuestProcess> {
    return this.live.values();
  }

  /** The live process of a `ProcessSelector`. Errors: `not_found`. */
  findLive(selector: Record<string, unknown> | undefined): GuestProcess {
    return this.find(selector, [this.live]);
  }

  /** The same, or one that ended a moment ago. */
  findAny(selector: Record<string, unknown> | undefined): GuestProcess {
    this.prune();
    return this.find(selector, [this.live, this.ended]);
  }

  private find(
    message: Record<string, unknown> | undefined,
    tables: readonly Map<number, GuestProcess>[],
  ): GuestProcess {
    const selector = (message && readObject(message, 'selector')) ?? message ?? {};
    const tag = readText(selector, 'tag');
    const pid = readNumber(selector, 'pid');
    for (const table of tables) {
      if (!tag) {
        const found = table.get(pid);
        if (found) return found;
        continue;
      }
      let last: GuestProcess | undefined;
      for (const process of table.values()) if (process.tag === tag) last = process;
      if (last) return last;
    }
    throw new SandboxError(
      'not_found',
      tag ? `process with tag ${tag} not found` : `process with pid ${pid} not found`,
    );
  }

  private prune(): void {
    const now = Date.now();
    for (const [pid, process] of this.ended) {
      const ageMs = now - process.endedAt;
      const gone = ageMs > KEPT_UNFETCHED_MS || (process.fetched && ageMs > KEPT_MS) || ageMs < 0;
      if (gone || this.ended.size > KEPT_COUNT) this.ended.delete(pid);
      else if (ageMs < KEPT_MS) break;
    }
  }
}
