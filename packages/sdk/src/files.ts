import type { Readable } from 'node:stream';
import { SandboxError } from '@sandbox-backend/protocol';
import { readText, request } from './http.ts';
import { errorFromResponse } from './response-error.ts';
import { type CallOptions, callUnary, type EnvdEndpoint, envdHeaders } from './rpc.ts';

export type FileEntry = {
  name: string;
  /** Of what a symbolic link points to; undefined for a broken link or a device. */
  type: 'file' | 'directory' | undefined;
  path: string;
  bytes: number;
  /** Permission bits, for example 0o644. */
  mode: number;
  /** Name of the user whose it is, or the number where it has none. */
  owner: string;
  symlinkTarget: string | undefined;
};

/** Opens a file for reading: its bytes as they come. Errors: `not_found`, `invalid_argument` for a folder. */
export async function readFileStream(
  endpoint: EnvdEndpoint,
  path: string,
  options: CallOptions = {},
): Promise<Readable> {
  const response = await request(filesUrl(endpoint, path, options), {
    headers: envdHeaders(endpoint, options),
    signal: options.signal,
    agent: endpoint.agent,
  });
  if (response.statusCode === 200) return response;
  throw errorFromResponse(response.statusCode ?? 0, await readText(response));
}

/** Writes a file from a stream, with the folders above it. Errors: `no_space`, `permission_denied`. */
export async function writeFileStream(
  endpoint: EnvdEndpoint,
  path: string,
  content: Readable | Buffer,
  options: CallOptions & { bytes?: number } = {},
): Promise<void> {
  const bytes = content instanceof Uint8Array ? content.length : options.bytes;
  const response = await request(filesUrl(endpoint, path, options), {
    method: 'POST',
    headers: {
      ...envdHeaders(endpoint, options),
      'Content-Type': 'application/octet-stream',
      ...(bytes !== undefined && { 'Content-Length': String(bytes) }),
    },
    body: content,
    signal: options.signal,
    agent: endpoint.agent,
  });
  const text = await readText(response);
  if (response.statusCode !== 200) throw errorFromResponse(response.statusCode ?? 0, text);
}

/** What is at the path; undefined when nothing is. */
export async function statFile(endpoint: EnvdEndpoint, path: string, options: CallOptions = {}) {
  try {
    const answer = await callUnary<{ entry?: WireEntry }>(
      endpoint,
      'filesystem.Filesystem/Stat',
      { path },
      options,
    );
    return toEntry(answer.entry ?? {});
  } catch (caught) {
    if (caught instanceof SandboxError && caught.code === 'not_found') return undefined;
    throw caught;
  }
}

/** The entries of one folder, without what lies in folders below it. */
export async function listFolder(endpoint: EnvdEndpoint, path: string, options: CallOptions = {}) {
  const answer = await callUnary<{ entries?: WireEntry[] }>(
    endpoint,
    'filesystem.Filesystem/ListDir',
    { path, depth: 1 },
    options,
  );
  return (answer.entries ?? []).map(toEntry);
}

/** Makes a folder and those above it; one that exists is left as it is. */
export async function makeFolder(endpoint: EnvdEndpoint, path: string, options: CallOptions = {}) {
  try {
    await callUnary(endpoint, 'filesystem.Filesystem/MakeDir', { path }, options);
  } catch (caught) {
    if (!(caught instanceof SandboxError && caught.code === 'already_exists')) throw caught;
  }
}

type WireEntry = {
  name?: string;
  type?: string;
  path?: string;
  size?: string | number;
  mode?: number;
  owner?: string;
  symlinkTarget?: string;
};

const toEntry = (wire: WireEntry): FileEntry => ({
  name: wire.name ?? '',
  type:
    wire.type === 'FILE_TYPE_FILE' ? 'file' : wire.type === 'FILE_TYPE_DIRECTORY' ? 'directory' : undefined,
  path: wire.path ?? '',
  bytes: Number(wire.size ?? 0),
  mode: (wire.mode ?? 0) & 0o777,
  owner: wire.owner ?? '',
  symlinkTarget: wire.symlinkTarget || undefined,
});

function filesUrl(endpoint: EnvdEndpoint, path: string, { user }: CallOptions): string {
  const query = new URLSearchParams({ path, ...(user && { username: user }) });
  return `${endpoint.sandboxUrl}/files?${query}`;
}
