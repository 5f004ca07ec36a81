export type Inotify = { watch: number; mask: number; name: string };

const HEAD_BYTES = 16;

/** What is read from an inotify descriptor: whole events, see inotify(7). */
export function parseInotify(bytes: Uint8Array): Inotify[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const events: Inotify[] = [];
  for (let offset = 0; offset + HEAD_BYTES <= view.length; ) {
    const length = view.readUInt32LE(offset + 12);
    const start = offset + HEAD_BYTES;
    const zero = view.indexOf(0, start);
    const end = zero < 0 ? start + length : Math.min(zero, start + length);
    events.push({
      watch: view.readInt32LE(offset),
      mask: view.readUInt32LE(offset + 4),
      name: view.toString('utf8', start, Math.max(end, start)),
    });
    offset = start + length;
  }
  return events;
}
