import { parseArgs } from 'node:util';
import { log, Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';

const USAGE = `usage: template-manager --template FILE.json|FILE.toml [--if-needed] [--refresh] [--json]
       template-manager prepare
       template-manager bare-restore --template NAME [--count N] [--json]

  --template FILE   build the template that the file specifies
  --if-needed       keep the build in force if it restores on this host and has the newest envd, whatever the file says
  --refresh         fetch the image again, whatever the cache holds
  prepare           make the default kernel and the envd disk, where they are missing
  bare-restore      restore a template's snapshot with the VMM alone, for measuring
`;

try {
  await main(process.argv.slice(2));
} catch (caught) {
  const error = SandboxError.from(caught);
  if (process.env.SANDBOX_DEBUG) log('debug', 'template.error', { stack: (error.cause as Error)?.stack });
  console.error(`error: ${error.describe()}`);
  process.exitCode = error.exitCode;
}

async function main(argv: string[]): Promise<void> {
  const { values, positionals } = parse(argv);
  if (values.help) {
    console.log(USAGE);
    return;
  }
  if (process.getuid?.() !== 0) {
    throw new SandboxError(
      'permission_denied',
      'building a template needs root: it makes namespaces, taps and mounts',
      {
        hint: 'Run it with sudo.',
      },
    );
  }
  const dataRoot = process.env.SANDBOX_DATA_ROOT || '/var/lib/sandbox-backend';
  const op = new Operation('template-manager', {
    timeoutMs: 60 * 60_000,
    signal: onInterrupt(),
    onPhase: ({ name, ms, error }) => {
      if (!values.json)
        console.error(`${error ? 'failed' : 'done  '}  ${name.padEnd(18)} ${(ms / 1000).toFixed(1)} s`);
    },
  });
  const [command] = positionals;
  if (command === 'prepare') {
    const { prepare } = await import('./commands/prepare.ts');
    return prepare(op, dataRoot);
  }
  if (!values.template) throw new SandboxError('invalid_argument', 'no template is named', { hint: USAGE });
  if (command === 'bare-restore') {
    const { bareRestore } = await import('./commands/bare-restore.ts');
    return bareRestore(op, {
      template: values.template,
      count: Number(values.count),
      json: values.json,
    });
  }
  const { build } = await import('./commands/build.ts');
  return build(op, dataRoot, {
    file: values.template,
    ifNeeded: values['if-needed'],
    refresh: values.refresh,
    json: values.json,
  });
}

function parse(argv: string[]) {
  try {
    const parsed = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        template: { type: 'string' },
        'if-needed': { type: 'boolean', default: false },
        refresh: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        count: { type: 'string', default: '5' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const [command, ...rest] = parsed.positionals;
    if (rest.length > 0 || (command !== undefined && command !== 'prepare' && command !== 'bare-restore')) {
      throw new Error(`unknown command ${command}`);
    }
    return parsed;
  } catch (cause) {
    throw new SandboxError('invalid_argument', (cause as Error).message, { cause, hint: USAGE });
  }
}

/** Ctrl-C cancels the build, which then frees what it holds; a second one ends the process at once. */
function onInterrupt(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => controller.abort(new Error(`interrupted by ${signal}`)));
  }
  return controller.signal;
}
