import { setTimeout as sleep } from 'node:timers/promises';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Control, SandboxLogEntry } from '@sandbox-backend/sdk';
import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { resolveSandboxId } from '../../resolve-id.ts';
import { parseWholeNumber } from '../../text/number.ts';
import { note, print } from '../../text/print.ts';
import { printable } from '../../text/printable.ts';

const MOST_LINES = 1000;
const FOLLOW_EVERY_MS = 1000;

type Options = { follow?: true; lines?: number; json?: true };

export function declare(command: Command) {
  command
    .argument('<id>')
    .option('-f, --follow', 'go on until the sandbox ends')
    .option('-n, --lines <count>', `how many of the last lines, up to ${MOST_LINES}`, parseWholeNumber)
    .option('--json', 'print one JSON object a line')
    .action(showLogs);
}

async function showLogs(text: string, options: Options, command: Command) {
  const { control } = await connect(command);
  const id = await resolveSandboxId(control, text);
  const show = (entry: SandboxLogEntry) => print(options.json ? JSON.stringify(entry) : formatEntry(entry));
  const entries = await control.sandboxLogs(id, { limit: MOST_LINES });
  entries.slice(Math.max(0, entries.length - (options.lines ?? MOST_LINES))).forEach(show);
  if (options.follow) await follow(control, id, entries, show);
}

async function follow(
  control: Control,
  id: string,
  before: readonly SandboxLogEntry[],
  show: (entry: SandboxLogEntry) => void,
) {
  const seen = new NewestEntries(before);
  for (;;) {
    await sleep(FOLLOW_EVERY_MS);
    try {
      const entries = await control.sandboxLogs(id, { startMs: seen.timeMs, limit: MOST_LINES });
      seen.takeNew(entries).forEach(show);
    } catch (caught) {
      if (!(caught instanceof SandboxError && caught.code === 'not_found')) throw caught;
      return note(`Sandbox ${id} has ended.`);
    }
  }
}

/**
 * Which entries were seen, as far as a next page that begins at the newest one's millisecond can
 * repeat them.
 */
export class NewestEntries {
  timeMs = 0;
  private counts = new Map<string, number>();

  constructor(entries: readonly SandboxLogEntry[]) {
    this.takeNew(entries);
  }

  /** The entries that are new, of a page that begins at `timeMs`. */
  takeNew(entries: readonly SandboxLogEntry[]): SandboxLogEntry[] {
    const left = new Map(this.counts);
    return entries.filter((entry) => {
      const timeMs = Date.parse(entry.timestamp);
      const key = JSON.stringify([entry.timestamp, entry.message]);
      const repeats = left.get(key) ?? 0;
      if (timeMs < this.timeMs || repeats > 0) {
        left.set(key, repeats - 1);
        return false;
      }
      if (timeMs > this.timeMs) {
        this.timeMs = timeMs;
        this.counts = new Map();
      }
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
      return true;
    });
  }
}

function formatEntry({ timestamp, level, message }: SandboxLogEntry): string {
  return `${printable(timestamp)}  ${printable(level).padEnd(5)}  ${printable(message)}`;
}
