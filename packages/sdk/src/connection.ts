import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';

export const DEFAULT_DATA_ROOT = '/var/lib/sandbox-backend';
export const DEFAULT_API_PORT = 3000;
export const DEFAULT_SANDBOX_PORT = 3002;

/** Where a server answers and with which key; enough to make a `Control` and an `Envd`. */
export type Connection = {
  /** Base of the REST API, without a slash at its end. */
  apiUrl: string;
  /** Base of the data plane, by which every sandbox's ports are reached. */
  sandboxUrl: string;
  apiKey: string | undefined;
  dataRoot: string;
};

export type ConnectionOptions = {
  apiUrl?: string | undefined;
  sandboxUrl?: string | undefined;
  apiKey?: string | undefined;
  dataRoot?: string | undefined;
};

/**
 * Finds the server: what the caller gives wins over the environment (`E2B_API_URL`,
 * `E2B_SANDBOX_URL`, `E2B_API_KEY`, `SANDBOX_DATA_ROOT`), that over the files which a running server
 * leaves in its data root (`server.json`, `api-key`), those over the ports of a default installation.
 *
 * The key of the data root belongs to the server of this machine and is never offered to another host.
 * Errors: `invalid_argument` for a URL that is none, `permission_denied` when the files cannot be read.
 */
export function resolveConnection(
  given: ConnectionOptions = {},
  env: NodeJS.ProcessEnv = process.env,
): Connection {
  const dataRoot = given.dataRoot || env.SANDBOX_DATA_ROOT || DEFAULT_DATA_ROOT;
  const chosenApi = given.apiUrl || env.E2B_API_URL;
  const chosenSandbox = given.sandboxUrl || env.E2B_SANDBOX_URL;
  const chosenKey = given.apiKey || env.E2B_API_KEY;
  const local = chosenApi && chosenSandbox ? {} : readServerFile(dataRoot);

  const apiUrl = checkUrl(chosenApi || local.apiUrl || `http://127.0.0.1:${DEFAULT_API_PORT}`);
  const sandboxUrl = chosenSandbox || (chosenApi ? dataPlaneBeside(apiUrl, local) : local.sandboxUrl);
  return {
    apiUrl,
    sandboxUrl: checkUrl(sandboxUrl || `http://127.0.0.1:${DEFAULT_SANDBOX_PORT}`),
    apiKey: chosenKey || (isThisMachine(apiUrl) ? readKeyFile(dataRoot) : undefined),
    dataRoot,
  };
}

/** Process id of the server that last wrote `server.json`; undefined when there is none. */
export function readServerPid(dataRoot: string): number | undefined {
  return readServerFile(dataRoot).pid;
}

type ServerFile = { apiUrl?: string; sandboxUrl?: string; pid?: number };

function readServerFile(dataRoot: string): ServerFile {
  const text = readOptional(join(dataRoot, 'server.json'));
  if (text === undefined) return {};
  try {
    const { apiUrl, sandboxUrl, pid } = JSON.parse(text) as Record<string, unknown>;
    return {
      ...(typeof apiUrl === 'string' && { apiUrl }),
      ...(typeof sandboxUrl === 'string' && { sandboxUrl }),
      ...(typeof pid === 'number' && { pid }),
    };
  } catch (cause) {
    throw new SandboxError('internal', `${join(dataRoot, 'server.json')} is not JSON`, {
      cause,
      hint: 'Restart the server, which writes the file anew.',
    });
  }
}

const readKeyFile = (dataRoot: string) => readOptional(join(dataRoot, 'api-key'))?.trim() || undefined;

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (caught) {
    const errno = (caught as NodeJS.ErrnoException).code;
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
    throw new SandboxError(
      errno === 'EACCES' ? 'permission_denied' : 'internal',
      `${path} cannot be read: ${errno}`,
      { cause: caught, hint: 'Run as the user of the server, or set E2B_API_KEY and E2B_API_URL.' },
    );
  }
}

function dataPlaneBeside(apiUrl: string, local: ServerFile): string {
  if (local.apiUrl === apiUrl && local.sandboxUrl) return local.sandboxUrl;
  const url = new URL(apiUrl);
  url.port = String(DEFAULT_SANDBOX_PORT);
  return url.origin;
}

function checkUrl(text: string): string {
  const url = URL.parse(text);
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return text.replace(/\/+$/, '');
  throw new SandboxError('invalid_argument', `${JSON.stringify(text)} is not a URL of a server`, {
    hint: 'For example http://127.0.0.1:3000.',
  });
}

function isThisMachine(apiUrl: string): boolean {
  const { hostname } = new URL(apiUrl);
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
}
