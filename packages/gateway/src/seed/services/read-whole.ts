import type { Readable } from 'node:stream';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Budget } from '../budget.ts';

const LARGEST_FILE_BYTES = 64 * 1024 * 1024;

/**
 * A whole file as text. Errors: `resource_exhausted` for one that is too large for an answer, or for the moment
 * when other files are on their way.
 */
export async function readWhole(
  file: Readable,
  held: Budget,
  encoding: 'utf8' | 'base64' = 'utf8',
): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of file as AsyncIterable<Buffer>) {
      if (bytes + chunk.length > LARGEST_FILE_BYTES || !held.tryTake(chunk.length)) {
        throw new SandboxError('resource_exhausted', 'file too large for a message: download it by /file');
      }
      bytes += chunk.length;
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString(encoding);
  } finally {
    held.give(bytes);
    file.destroy();
  }
}
