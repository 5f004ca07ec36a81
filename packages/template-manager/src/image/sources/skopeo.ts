import { dirname } from 'node:path';
import { type Operation, run } from '@sandbox-backend/kit';
import { type ErrorCode, SandboxError } from '@sandbox-backend/protocol';

export type SkopeoOptions = {
  reference: string;
  from: 'registry' | 'file' | 'daemon';
  onProgress?: (text: string) => void;
};

type Translation = { pattern: RegExp; code: ErrorCode; what: string; hint: string };

const FULL: Translation = {
  pattern: /no space left on device|disk quota exceeded/i,
  code: 'no_space',
  what: 'does not fit on the disk',
  hint: 'Free space on the disk of the data folder and try again.',
};

const REGISTRY: Translation[] = [
  FULL,
  {
    pattern:
      /unauthorized|authentication required|access to the resource is denied|denied:|forbidden|\b40[13]\b|incorrect username or password/i,
    code: 'permission_denied',
    what: 'may not be read: the registry refuses',
    hint: 'Check the name; for a private image give credentials for its registry (an auth file as `docker login` or `skopeo login` makes).',
  },
  {
    pattern: /manifest unknown|name unknown|not found|\b404\b|no image found in manifest list/i,
    code: 'not_found',
    what: 'is not in the registry, or not for this architecture',
    hint: 'Check name and tag.',
  },
  {
    pattern: /toomanyrequests|too many requests|rate limit|\b429\b/i,
    code: 'unavailable',
    what: 'cannot be fetched now: the registry limits the rate',
    hint: 'Wait, or give credentials for the registry.',
  },
  {
    pattern: /server gave HTTP response to HTTPS client|x509|certificate|tls:/i,
    code: 'unavailable',
    what: 'cannot be fetched: the registry has no valid TLS certificate',
    hint: 'Only a registry on this host (localhost) may be without one.',
  },
  {
    pattern:
      /no such host|connection refused|timeout|timed out|network is unreachable|no route to host|server misbehaving|connection reset/i,
    code: 'unavailable',
    what: 'cannot be fetched: its registry does not answer',
    hint: 'Check the network, or build from an image on this host (docker-archive:, oci:, debian:).',
  },
  {
    pattern:
      /unexpected EOF|digest did not match|does not match digest|size mismatch|digest of source|\b5\d\d\b|server error/i,
    code: 'unavailable',
    what: 'cannot be fetched: the registry failed in the middle',
    hint: 'Try again.',
  },
];

const FILE: Translation[] = [
  FULL,
  {
    pattern: /no such file or directory|file does not exist/i,
    code: 'not_found',
    what: 'is not there, or has no image in it',
    hint: 'Check the path.',
  },
  {
    pattern: /./,
    code: 'invalid_argument',
    what: 'is not a sound image',
    hint: 'Write the file again (docker save, skopeo copy) and check that it is complete.',
  },
];

const DAEMON: Translation[] = [
  FULL,
  {
    pattern: /./,
    code: 'failed_precondition',
    what: 'is neither in the cache nor in a Docker daemon on this host, and may not be pulled',
    hint: 'Build without noPull once, or load the image into Docker.',
  },
];

/**
 * Runs skopeo. Errors say the reference, what is wrong with it, and what to do; skopeo's own words are in `log`.
 * Credentials are read by skopeo from the auth file and never pass through here.
 */
export async function skopeo(
  op: Operation,
  args: readonly string[],
  options: SkopeoOptions,
): Promise<string> {
  try {
    const { stdout } = await run('skopeo', args, {
      signal: op.signal,
      ...(options.onProgress ? { onOutput: options.onProgress } : {}),
    });
    return stdout;
  } catch (caught) {
    throw translate(caught, options);
  }
}

/** Images are for this host's architecture, whatever else a list of them offers. */
export const ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'amd64';

export const PLATFORM = [`--override-arch=${ARCHITECTURE}`, '--override-os=linux'];

/** Copies one image to a new OCI layout; what it needs meanwhile lies beside that. */
export async function copyImage(
  op: Operation,
  source: string,
  layout: string,
  options: SkopeoOptions & { args?: readonly string[] },
): Promise<void> {
  const args = [
    '--insecure-policy',
    `--tmpdir=${dirname(layout)}`,
    ...PLATFORM,
    'copy',
    // Nothing is gained by compressing what is unpacked at once.
    '--dest-oci-accept-uncompressed-layers',
    ...(options.args ?? []),
    source,
    `oci:${layout}:image`,
  ];
  await skopeo(op, args, options);
}

function translate(caught: unknown, { reference, from }: SkopeoOptions): SandboxError {
  const error = SandboxError.from(caught);
  if (error.code !== 'internal' && error.code !== 'no_space') return error;
  const log = lastWords(error.log ?? '');
  const table = { registry: REGISTRY, file: FILE, daemon: DAEMON }[from];
  const found = table.find(({ pattern }) => pattern.test(log));
  const options = { cause: caught, log };
  if (!found) return new SandboxError('internal', `the image ${reference} cannot be fetched`, options);
  return new SandboxError(found.code, `the image ${reference} ${found.what}`, {
    ...options,
    hint: found.hint,
  });
}

/** skopeo's final message, without the progress before it. */
function lastWords(log: string): string {
  const fatal = log.slice(Math.max(0, log.lastIndexOf('level=fatal')));
  return (/msg="((?:[^"\\]|\\.)*)"/.exec(fatal)?.[1] ?? log).replaceAll('\\"', '"').trim();
}
