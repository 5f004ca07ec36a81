import { SandboxError } from '@sandbox-backend/protocol';
import { getAttribute, listAttributes, removeAttribute, setAttribute } from '../runtime.ts';

/** Metadata of a file are extended attributes: they go where the file goes, and into snapshots. */
const PREFIX = 'user.e2b.';
const HEADER_PREFIX = 'x-metadata-';
/** A name of an extended attribute has at most 255 bytes. */
const MAX_KEY = 255 - PREFIX.length;

export type Metadata = Record<string, string>;

/** The `X-Metadata-*` headers; undefined when there are none. Errors: `invalid_argument`. */
export function metadataOf(headers: Headers): Metadata | undefined {
  let metadata: Metadata | undefined;
  for (const [name, value] of headers) {
    if (!name.startsWith(HEADER_PREFIX)) continue;
    const key = name.slice(HEADER_PREFIX.length).toLowerCase();
    if (!/^[a-z0-9!#$%&'*+\-.^_`|~]+$/.test(key) || key.length > MAX_KEY) {
      throw new SandboxError('invalid_argument', `invalid metadata key: ${JSON.stringify(key)}`);
    }
    if (!/^[\x20-\x7e]*$/.test(value) || value.length > 4096) {
      throw new SandboxError('invalid_argument', `invalid metadata value for key ${JSON.stringify(key)}`);
    }
    metadata ??= {};
    metadata[key] = value;
  }
  return metadata;
}

/** Replaces the metadata of a file. */
export function setMetadata(path: string, metadata: Metadata): void {
  for (const name of listAttributes(path)) if (name.startsWith(PREFIX)) removeAttribute(path, name);
  for (const [key, value] of Object.entries(metadata)) {
    if (!setAttribute(path, PREFIX + key, value)) {
      throw new SandboxError(
        'failed_precondition',
        `the file system of ${path} does not keep metadata, or no more of it`,
      );
    }
  }
}

/** Undefined when the file has none. */
export function getMetadata(path: string): Metadata | undefined {
  let metadata: Metadata | undefined;
  for (const name of listAttributes(path)) {
    if (!name.startsWith(PREFIX)) continue;
    const value = getAttribute(path, name);
    if (value === undefined) continue;
    metadata ??= {};
    metadata[name.slice(PREFIX.length)] = value;
  }
  return metadata;
}
