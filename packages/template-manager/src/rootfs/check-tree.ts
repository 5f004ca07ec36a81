import { SandboxError } from '@sandbox-backend/protocol';
import { toText } from '../image/tar/entry.ts';
import { eachPath, type Tree } from '../image/tree.ts';

/**
 * mke2fs (1.47.0, `path_append`) writes one byte behind its buffer for a path of 255·2ⁿ - 1 bytes. At 2039 glibc's
 * allocator has no slack there, and an image could damage the memory of a program that runs as root.
 */
export const PATH_BYTES = 2000;

/**
 * Refuses a tree that cannot safely be made a disk: its paths as they are in the end, when links that lead to
 * folders have been followed.
 * Errors: `invalid_argument`.
 */
export function checkTree(tree: Tree): void {
  for (const { path } of eachPath(tree.root)) {
    if (path.length <= PATH_BYTES) continue;
    throw new SandboxError(
      'invalid_argument',
      `the image cannot be unpacked: the path ${JSON.stringify(toText(path.slice(0, 100)))}… is longer than ${PATH_BYTES} bytes`,
      { hint: 'Build the image with shorter paths.' },
    );
  }
}
