import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { Operation, run } from '@sandbox-backend/kit';
import { MEDIA_TYPES } from '../layout/oci.ts';
import { type LayoutConfig, writeLayout } from '../layout/write.ts';
import { NO_XATTRS, type TarEntry, toBytes } from '../tar/entry.ts';
import { TAR_END, tarHeader, tarPadding } from '../tar/write.ts';

/** A member of a layer as a test writes it; the rest has plain values. */
export type ImageEntry = { path: string; content?: string | Buffer } & Partial<
  Omit<TarEntry, 'path' | 'size'>
>;

export type ImageRecipe = { layers: ImageEntry[][]; config?: LayoutConfig };

/** Makes an OCI layout in an empty or missing folder, for tests. Paths and targets are ordinary text. */
export async function makeOciLayout(
  folder: string,
  recipe: ImageRecipe,
  options: { compression?: 'none' | 'gzip' | 'zstd' } = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, '.work-'));
  try {
    const { compression = 'gzip' } = options;
    const layers = [];
    for (const [index, entries] of recipe.layers.entries()) {
      const path = join(work, String(index));
      const tar = makeTar(entries);
      const data = { none: () => tar, gzip: () => gzipSync(tar), zstd: () => zstdCompressSync(tar) }[
        compression
      ]();
      await writeFile(path, data);
      layers.push({
        path,
        diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}`,
        mediaType: `${MEDIA_TYPES.layer}${compression === 'none' ? '' : `+${compression}`}`,
      });
    }
    await writeLayout(new Operation('make image', { timeoutMs: 60_000 }), folder, {
      layers,
      ...(recipe.config ? { config: recipe.config } : {}),
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

export function makeTar(entries: readonly ImageEntry[]): Buffer {
  const parts = entries.flatMap(({ content = '', ...fields }) => {
    const data = Buffer.from(content);
    const type = fields.type ?? 'file';
    const header = tarHeader({
      type,
      mode: type === 'directory' ? 0o755 : 0o644,
      uid: 0,
      gid: 0,
      mtime: 1_700_000_000,
      device: { major: 0, minor: 0 },
      xattrs: NO_XATTRS,
      ...fields,
      path: toBytes(fields.path),
      target: toBytes(fields.target ?? ''),
      size: data.length,
    });
    return [header, data, tarPadding(data.length)];
  });
  return Buffer.concat([...parts, TAR_END]);
}

/** An image `FROM scratch`: one static program, `/bin/app`, which is busybox; no shell, no /etc. */
export async function scratchImage(busybox = '/usr/bin/busybox'): Promise<ImageRecipe> {
  return {
    layers: [[{ path: 'bin/app', mode: 0o755, content: await readFile(busybox) }]],
    config: { Entrypoint: ['/bin/app', 'echo', 'hello'] },
  };
}

/** An image like Alpine: busybox as `/bin/sh` and its applets, no bash, no glibc. */
export async function muslImage(busybox = '/usr/bin/busybox'): Promise<ImageRecipe> {
  const { stdout } = await run(busybox, ['--list']);
  const applets = stdout.split('\n').filter((name) => name !== '' && name !== 'busybox');
  const folder = (path: string, mode = 0o755): ImageEntry => ({ path, type: 'directory', mode });
  const osRelease = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.0\nPRETTY_NAME="Alpine Linux v3.20"\n';
  return {
    layers: [
      [
        ...['bin', 'etc', 'root', 'usr', 'usr/bin', 'sbin', 'lib', 'var', 'home', 'proc', 'sys', 'dev'].map(
          (path) => folder(path),
        ),
        folder('tmp', 0o1777),
        { path: 'bin/busybox', mode: 0o755, content: await readFile(busybox) },
        ...applets.map(
          (name): ImageEntry => ({
            path: `bin/${name}`,
            type: 'symlink',
            mode: 0o777,
            target: '/bin/busybox',
          }),
        ),
        { path: 'etc/os-release', content: osRelease },
        {
          path: 'etc/passwd',
          content: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n',
        },
        { path: 'etc/group', content: 'root:x:0:root\nnobody:x:65534:\n' },
        { path: 'etc/shadow', mode: 0o640, content: 'root:*::0:::::\nnobody:!::0:::::\n' },
        {
          path: 'etc/profile',
          content: 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n',
        },
      ],
    ],
    config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['/bin/sh'] },
  };
}
