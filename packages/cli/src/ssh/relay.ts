import { connect } from 'node:net';
import { SandboxError } from '@sandbox-backend/protocol';

/** Joins standard input and output to the SSH door, for a sandbox. Resolves when the door closes. */
export function relay(address: { host: string; port: number }, sandboxId: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...address, noDelay: true, keepAlive: true });
    socket.once('connect', () => {
      socket.write(`SANDBOX ${sandboxId}\n`);
      process.stdin.pipe(socket);
      socket.pipe(process.stdout);
    });
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      const where = `${address.host}:${address.port}`;
      reject(
        new SandboxError(
          'unavailable',
          `The SSH door at ${where} did not answer: ${cause.code ?? cause.message}`,
          {
            cause,
            hint: 'Is the server running? If its address has changed, run: sandbox-cli ssh-config --install',
          },
        ),
      );
    });
    socket.on('close', () => {
      process.stdin.unpipe(socket);
      process.stdin.destroy(); // else it keeps this process
      resolve();
    });
  });
}

/** Errors: `invalid_argument`. */
export function parseAddress(text: string): { host: string; port: number } {
  const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text) ?? [];
  if (host !== undefined && Number(port) >= 1 && Number(port) <= 65_535) {
    return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
  }
  throw new SandboxError('invalid_argument', `${JSON.stringify(text)} is not HOST:PORT`);
}
