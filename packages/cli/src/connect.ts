import { SandboxError } from '@sandbox-backend/protocol';
import type { Connection } from '@sandbox-backend/sdk';
import type { Command } from 'commander';
import { parseWholeNumber } from './text/number.ts';

const HEADING = 'Server:';
/** Where the seed's server speaks gRPC; its users have this number in scripts. */
const SEED_PORT = 5000;

/** Where the server is, accepted before and after a command's name. `-i` and `-p` are the seed's words. */
export function addServerOptions(command: Command) {
  const isFree = (short: string) => !command.options.some((option) => option.short === short);
  const flags = (short: string, long: string) => (isFree(short) ? `${short}, ${long}` : long);
  command
    .optionsGroup(HEADING)
    .option('--api-url <url>', 'REST API (E2B_API_URL)')
    .option('--sandbox-url <url>', 'data plane (E2B_SANDBOX_URL)')
    .option('--api-key <key>', 'key (E2B_API_KEY); seen by other users of this machine in its process list')
    .option('--data-root <folder>', "the server's data folder (SANDBOX_DATA_ROOT)")
    .option(flags('-i', '--ip <host>'), 'address or name of the host, instead of --api-url')
    .option(flags('-p', '--port <port>'), 'port of the REST API, instead of --api-url', parseWholeNumber)
    .option(flags('-v', '--verbose'), 'show the causes of an error');
}

export type ServerOptions = {
  apiUrl?: string;
  sandboxUrl?: string;
  apiKey?: string;
  dataRoot?: string;
  ip?: string;
  port?: number;
};

/** The connection and a client for it; the SDK is loaded here, not when help is printed. */
export async function connect(command: Command, options: { signal?: AbortSignal } = {}) {
  const { Control, Envd } = await import('@sandbox-backend/sdk');
  const connection = await connectionOf(command);
  const envd = (sandboxId: string, accessToken: string | undefined) =>
    new Envd({ sandboxUrl: connection.sandboxUrl, sandboxId, accessToken });
  return { connection, control: new Control(connection, options), envd };
}

export async function connectionOf(command: Command): Promise<Connection> {
  const { resolveConnection } = await import('@sandbox-backend/sdk');
  const options = command.optsWithGlobals<ServerOptions>();
  return resolveConnection({ ...options, apiUrl: options.apiUrl ?? urlFromHost(options) });
}

function urlFromHost({ ip, port }: ServerOptions): string | undefined {
  if (ip === undefined && port === undefined) return undefined;
  const host = ip ?? '127.0.0.1';
  if (!/^[A-Za-z0-9.:_-]+$/.test(host)) {
    throw new SandboxError('invalid_argument', `${JSON.stringify(host)} is not an address or a host name`);
  }
  const authority = host.includes(':') ? `[${host}]` : host;
  return `http://${authority}:${port === undefined || port === SEED_PORT ? 3000 : port}`;
}
