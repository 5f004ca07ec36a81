import { log, Operation } from '@sandbox-backend/kit';
import { type LogLine, SandboxError } from '@sandbox-backend/protocol';
import type { Resident } from '../resident.ts';
import { appendLog, readLog, removeLog, sweepLogs } from './files.ts';
import { LineSplitter, printable, stamp } from './lines.ts';

/** The VMM keeps 64 KiB between two looks. */
const LOOK_EVERY_MS = 2000;
/** A VMM that does not answer holds up the end of its sandbox no longer. */
const PATIENCE_MS = 1000;
const SWEEP_EVERY_MS = 10 * 60_000;
/** Sandboxes that end between two sweeps, however fast they do. */
const SWEEP_AFTER_ENDS = 64;

export type LogCollector = Disposable & {
  /** Removes what an earlier sandbox of the id left: it may have been somebody else's. */
  clear(sandboxId: string): Promise<void>;
  /** From now on its console is kept. */
  begin(resident: Resident): void;
  /** What it has printed to its end, and how it ended. */
  end(resident: Resident, level: LogLine['level'], how: string): Promise<void>;
  /** Also of a sandbox that has ended, for a day. */
  read(sandboxId: string, limit: number): Promise<LogLine[]>;
};

type Source = {
  resident: Resident;
  splitter: LineSplitter;
  turn: Promise<void>;
  /** A look that is under way and that other readers may wait for, so that they do not hold up the end. */
  shared?: Promise<void> | undefined;
};

/**
 * Keeps what guests print on their consoles, kernel and envd, in files of the host: the guest is not asked and
 * reaches nothing. A log that cannot be written is no reason to fail a sandbox.
 */
export function openLogCollector(dataRoot: string): LogCollector {
  const sources = new Map<string, Source>();
  let ends = 0;

  const look = (source: Source, then?: string): Promise<void> => {
    source.turn = source.turn.then(() => keep(dataRoot, source, then));
    return source.turn;
  };
  const sweep = () => {
    ends = 0;
    void sweepLogs(dataRoot, (id) => sources.has(id)).catch((caught) => complain('logs.sweep', caught));
  };
  const timers = [
    setInterval(() => {
      for (const source of sources.values()) void look(source);
    }, LOOK_EVERY_MS).unref(),
    setInterval(sweep, SWEEP_EVERY_MS).unref(),
  ];

  return {
    clear: (sandboxId) => removeLog(dataRoot, sandboxId),
    begin(resident) {
      sources.set(resident.info.sandboxId, {
        resident,
        splitter: new LineSplitter(),
        turn: Promise.resolve(),
      });
    },
    async end(resident, level, how) {
      const { sandboxId } = resident.info;
      const source = sources.get(sandboxId);
      if (source?.resident !== resident) return;
      const last = how.split('\n').flatMap(printable);
      await look(source, last.map((line) => stamp(level, line)).join(''));
      sources.delete(sandboxId);
      if (++ends >= SWEEP_AFTER_ENDS) sweep();
    },
    async read(sandboxId, limit) {
      const source = sources.get(sandboxId);
      if (source) {
        source.shared ??= look(source).finally(() => {
          source.shared = undefined;
        });
        await source.shared;
      }
      return readLog(dataRoot, sandboxId, limit);
    },
    [Symbol.dispose]() {
      for (const timer of timers) clearInterval(timer);
    },
  };
}

async function keep(dataRoot: string, { resident, splitter }: Source, then = ''): Promise<void> {
  const op = new Operation('read the console', { timeoutMs: PATIENCE_MS });
  // A VMM that has ended has no console any more.
  const news = await resident.held.machine.readConsole(op).catch(() => '');
  const at = new Date();
  const lines = [...splitter.push(news), ...(then ? splitter.push('') : [])];
  const text = lines.map((line) => stamp('info', line, at)).join('') + then;
  if (text === '') return;
  await appendLog(dataRoot, resident.info.sandboxId, text).catch((caught) => complain('logs.append', caught));
}

const complain = (op: string, caught: unknown) =>
  log('warn', op, { error: SandboxError.from(caught).describe() });
