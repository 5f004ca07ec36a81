import { log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { readConfig } from './config.ts';
import { startServer } from './start.ts';

// The only process of a host: control plane, data plane and orchestrator. SIGTERM ends it and every sandbox;
// a crash, or kill -9, ends none, and the next start finds them again.
try {
  const server = await startServer(readConfig(process.env));
  log('info', 'server.start', { ...server.addresses, pid: process.pid });
  const signal = await new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name));
  });
  log('info', 'server.stop', { signal });
  await server[Symbol.asyncDispose]();
  process.exit(0);
} catch (caught) {
  const error = SandboxError.from(caught);
  console.error(`error: ${error.describe()}`);
  process.exit(error.exitCode);
}
