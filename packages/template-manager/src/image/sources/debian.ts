import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { type CachedLayout, findLayout, imageFolder, storeLayout } from '../cache.ts';
import { writeLayout } from '../layout/write.ts';
import type { ResolveOptions } from '../resolve.ts';
import { debianSources, toLines } from './apt-sources.ts';
import { ARCHITECTURE } from './skopeo.ts';

const PACKAGES = [
  'bash',
  'ca-certificates',
  'curl',
  'git',
  'iproute2',
  'procps',
  'python-is-python3',
  'python3',
  'sudo',
];
const LEFT_OUT = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*'];

/**
 * Makes a base image from Debian packages: the release of this host, from the mirrors that this host uses.
 * It needs no registry. Files under the paths of `without` are left out. Made once; `refresh` makes it again, with the packages of today.
 *
 * Errors: `failed_precondition` on a host that is not Debian or lacks mmdebstrap, `not_found` for a package that
 * does not exist, `unavailable` when the mirror does not answer.
 */
export async function fromDebian(
  op: Operation,
  { packages, without }: { packages: readonly string[]; without: readonly string[] },
  options: ResolveOptions,
): Promise<CachedLayout> {
  const codename = await hostRelease();
  const include = [...new Set([...PACKAGES, ...packages])].sort();
  const leftOut = [...LEFT_OUT, ...without];
  const version = `${codename} ${include.join(',')} ${leftOut.join(',')}`;
  const folder = imageFolder(options.cacheDir, `debian:?${version}`);
  const cached = await findLayout(folder);
  if (cached && !options.refresh) return cached;
  return op.phase('install Debian', () =>
    storeLayout(folder, { reference: options.reference, version }, async (layout) => {
      await mkdir(layout);
      const tar = `${layout}.tar`;
      await bootstrap(op, { codename, include, leftOut, tar }, options);
      await writeLayout(op, layout, {
        layers: [{ path: tar }],
        config: {
          Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LANG=C.UTF-8'],
          Cmd: ['bash'],
        },
        architecture: ARCHITECTURE,
      });
    }),
  );
}

/** When it is killed, all that it started ends with it, and its mounts go. */
const CONTAINED = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--'];

async function bootstrap(
  op: Operation,
  image: { codename: string; include: readonly string[]; leftOut: readonly string[]; tar: string },
  { reference, onProgress }: ResolveOptions,
): Promise<void> {
  const { codename, tar } = image;
  const sources = debianSources(await readAptSources(), codename).flatMap(toLines);
  const args = [
    ...CONTAINED,
    'mmdebstrap',
    '--variant=minbase',
    `--include=${image.include.join(',')}`,
    ...image.leftOut.map((path) => `--dpkgopt=path-exclude=${path}`),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    '--format=tar',
    codename,
    tar,
    ...sources,
  ];
  try {
    await run('unshare', args, {
      signal: op.signal,
      env: { ...process.env, TMPDIR: dirname(tar) },
      ...(onProgress ? { onOutput: onProgress } : {}),
    });
  } catch (caught) {
    throw explain(caught, reference);
  }
}

function explain(caught: unknown, reference: string): SandboxError {
  const error = SandboxError.from(caught);
  const { log = '' } = error;
  if (error.code !== 'internal') return error;
  const missing = /Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate/.exec(log);
  if (missing) {
    return new SandboxError(
      'not_found',
      `the image ${reference}: Debian has no package ${missing[1] ?? missing[2]}`,
      {
        cause: caught,
        hint: 'Look it up at packages.debian.org for the release of this host.',
      },
    );
  }
  const offline =
    /Could not resolve|Could not connect|Connection (?:failed|refused|timed out)|Failed to fetch/i.test(log);
  return new SandboxError(
    offline ? 'unavailable' : 'internal',
    `the image ${reference} cannot be made: ${offline ? "Debian's mirror does not answer" : 'mmdebstrap failed'}`,
    { cause: caught, log, ...(offline ? { hint: "Check the network and this host's apt sources." } : {}) },
  );
}

async function hostRelease(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const id = /^ID="?([\w.-]+)"?$/m.exec(text)?.[1];
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(text)?.[1];
  if (id === 'debian' && codename) return codename;
  throw new SandboxError('failed_precondition', 'the image debian: is made on a Debian host only', {
    hint: 'Name an image in a registry instead, such as debian:bookworm-slim.',
  });
}

async function readAptSources(): Promise<{ name: string; text: string }[]> {
  const folder = '/etc/apt/sources.list.d';
  const names = await readdir(folder).catch(() => []);
  const paths = [
    '/etc/apt/sources.list',
    ...names.filter((name) => /\.(list|sources)$/.test(name)).map((name) => join(folder, name)),
  ];
  return Promise.all(
    paths.map(async (name) => ({ name, text: await readFile(name, 'utf8').catch(() => '') })),
  );
}
