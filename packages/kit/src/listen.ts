import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { SandboxError } from '@sandbox-backend/protocol';

export type ListenSpec = {
  host: string;
  port: number;
  /** What listens there, for people: `the gateway`. */
  name: string;
  /** The setting that gives it another address. */
  setting: string;
};

/** Has the server listen. Errors: `failed_precondition` when the address is in use or not this host's. */
export async function listen(
  server: Server,
  { host, port, name, setting }: ListenSpec,
): Promise<AddressInfo> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on (${code})`;
    throw new SandboxError('failed_precondition', `The address ${host}:${port} of ${name} ${why}`, {
      cause,
      hint: `Set ${setting} to another address, or end the process that uses this one.`,
    });
  }
  return server.address() as AddressInfo;
}
