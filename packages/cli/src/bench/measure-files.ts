import { Readable } from 'node:stream';
import { type Bench, type BenchSandbox, type Measurement, measured, timed } from './measurement.ts';

const ROUNDS = 3;
const MEGABYTE = 1_000_000;
const PIECE = Buffer.alloc(256 * 1024, 'sandbox ');

/** A file sent and fetched through envd, in megabytes a second. */
export async function measureFiles(bench: Bench, { envd }: BenchSandbox): Promise<Measurement[]> {
  const bytes = bench.fileMib * 1024 * 1024;
  const rates = { up: [] as number[], down: [] as number[] };
  const path = '/tmp/sandbox-cli-bench';
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const { signal } = bench;
      const up = await timed(() => envd.write(path, Readable.from(pieces(bytes)), { bytes, signal }));
      const down = await timed(async () => countBytes(await envd.read(path, { signal })));
      if (down.result !== bytes) throw new Error(`${down.result} bytes came back of ${bytes}`);
      rates.up.push(bytes / MEGABYTE / (up.ms / 1000));
      rates.down.push(bytes / MEGABYTE / (down.ms / 1000));
    }
  } catch (caught) {
    bench.signal.throwIfAborted();
    const notMeasured = (caught as Error).message;
    return [{ name: `file up and down, ${bench.fileMib} MiB`, notMeasured }];
  }
  return [
    measured(`file up, ${bench.fileMib} MiB`, 'MB/s', rates.up),
    measured(`file down, ${bench.fileMib} MiB`, 'MB/s', rates.down),
  ];
}

export function* pieces(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= PIECE.length)
    yield left < PIECE.length ? PIECE.subarray(0, left) : PIECE;
}

export async function countBytes(stream: Readable): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) bytes += chunk.length;
  return bytes;
}
