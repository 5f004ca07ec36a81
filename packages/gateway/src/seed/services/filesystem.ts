import { dirname } from 'node:path/posix';
import { SandboxError } from '@sandbox-backend/protocol';
import {
  callUnary,
  listFolder,
  makeFolder,
  readFileStream,
  startProcess,
  statFile,
  writeFileStream,
} from '@sandbox-backend/sdk';
import { failed } from '../rpc/errors.ts';
import { method, NOTHING, service, stream } from '../rpc/service.ts';
import type { SeedSandbox } from '../sandbox.ts';
import { absolute, ROOT, USER } from './guest.ts';
import { readWhole } from './read-whole.ts';
import { reasonOf } from './reason.ts';
import { watchDir } from './watch-dir.ts';

const NEW_FILE_MODE = '0755';

export const filesystem = service(
  {
    list: method(['string'], async ({ endpoint, signal }, path) => {
      const entries = await listFolder(endpoint, absolute(path), { user: ROOT, signal }).catch((caught) => {
        throw failed(`error listing files in '${path}': open ${path}: ${reasonOf(caught)}`);
      });
      return JSON.stringify(
        entries.map(({ name, type, symlinkTarget }) => ({
          name,
          isDir: type === 'directory' && symlinkTarget === undefined,
        })),
      );
    }),
    read: method(['string'], async (sandbox, path) => JSON.stringify(await read(sandbox, path, 'utf8'))),
    readBase64: method(['string'], async (sandbox, path) => `"${await read(sandbox, path, 'base64')}"`),
    write: method(['string', 'string'], (sandbox, path, text) => write(sandbox, path, Buffer.from(text))),
    writeBase64: method(['string', 'string'], (sandbox, path, base64) =>
      write(sandbox, path, decodeBase64(path, base64)),
    ),
    remove: method(['string'], async ({ endpoint, signal }, path) => {
      const message = { path: absolute(path) };
      await callUnary(endpoint, 'filesystem.Filesystem/Remove', message, { user: ROOT, signal }).catch(
        (caught) => {
          throw failed(`error removing file or directory '${path}': unlinkat ${path}: ${reasonOf(caught)}`);
        },
      );
      return NOTHING;
    }),
    makeDir: method(['string'], async ({ endpoint, signal }, path) => {
      await makeFolder(endpoint, absolute(path), { user: USER, signal }).catch((caught) => {
        throw failed(`error creating directory '${path}': mkdir ${path}: ${reasonOf(caught)}`);
      });
      return NOTHING;
    }),
  },
  { watchDir: stream(['string'], watchDir) },
);

async function read({ endpoint, signal, held }: SeedSandbox, path: string, encoding: 'utf8' | 'base64') {
  try {
    const file = await readFileStream(endpoint, absolute(path), { user: ROOT, signal });
    return await readWhole(file, held, encoding);
  } catch (caught) {
    const reason = reasonOf(caught);
    throw failed(
      `error reading file '${path}': ${reason === 'is a directory' ? 'read' : 'open'} ${path}: ${reason}`,
    );
  }
}

/** Writes a file whose folder is there. It keeps its owner and mode; a new one is root's, and may be run. */
async function write({ endpoint, signal }: SeedSandbox, path: string, content: Buffer): Promise<string> {
  const target = absolute(path);
  try {
    const asRoot = { user: ROOT, signal };
    const [present, folder] = await Promise.all([
      statFile(endpoint, target, asRoot),
      statFile(endpoint, dirname(target), asRoot),
    ]);
    if (!folder) throw new SandboxError('not_found', 'no such folder');
    await writeFileStream(endpoint, target, content, { user: present?.owner || ROOT, signal });
    if (!present) await makeRunnable(endpoint, target, signal);
  } catch (caught) {
    throw failed(`error writing to file '${path}': open ${path}: ${reasonOf(caught)}`);
  }
  return NOTHING;
}

/** envd gives new files the mode of any other; the seed's could be run at once. */
async function makeRunnable(
  endpoint: SeedSandbox['endpoint'],
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const spec = { command: '/bin/sh', args: ['-c', 'chmod "$1" -- "$2"', 'sh', NEW_FILE_MODE, path] };
  const { output } = await startProcess(endpoint, spec, { user: ROOT, signal });
  for (let next = await output.next(); !next.done; ) next = await output.next();
}

function decodeBase64(path: string, text: string): Buffer {
  const isBase64 = text.length % 4 === 0 && !/[^A-Za-z0-9+/=\r\n]/.test(text);
  const bytes = isBase64 ? Buffer.from(text, 'base64') : undefined;
  if (bytes) return bytes;
  throw failed(`error decoding base64 for file '${path}': illegal base64 data`);
}
