import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { renderReport } from '../bench/render-report.ts';
import { runBench } from '../bench/run-bench.ts';
import { connect } from '../connect.ts';
import { parseCount } from '../text/number.ts';
import { note, print, printJson } from '../text/print.ts';

type Options = {
  template: string;
  count: number;
  concurrency: number;
  fileMib: number;
  settleSeconds: number;
  json?: true;
};

export function declare(command: Command) {
  command
    .option('-t, --template <name>', 'what to start sandboxes from', 'default-sandbox')
    .option('--count <n>', 'how often each thing is measured, one after the other', parseCount, 20)
    .option('--concurrency <n>', 'how many sandboxes are started at once', parseCount, 20)
    .option('--file-mib <n>', 'size of the file that is sent and fetched', parseCount, 100)
    // A guest does its last work about eight seconds after its start: its kernel writes back what it wrote.
    .option('--settle-seconds <n>', 'how long a sandbox is idle before its memory is read', parseCount, 10)
    .option('--json', 'print JSON with every sample')
    .action(bench);
}

async function bench(options: Options, command: Command) {
  const interrupted = new AbortController();
  const interrupt = () => {
    if (!interrupted.signal.aborted) note('Stopping: the sandboxes that were made are deleted first.');
    interrupted.abort(new SandboxError('canceled', 'The measurement was stopped'));
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  const { control, envd, connection } = await connect(command);
  const report = await runBench({ control, envd, connection, signal: interrupted.signal, ...options });
  if (options.json) printJson(report);
  else print(renderReport(report));
}
