import { zstdDecompressSync } from 'node:zlib';
import { run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';

/**
 * Where a bzImage keeps its compressed kernel (Documentation/arch/x86/boot.rst: setup_sects at 0x1f1,
 * payload_offset at 0x248, payload_length at 0x24c; the last four bytes are the unpacked size).
 */
export function bzImagePayload(image: Buffer): { format: 'zstd' | 'lz4'; payload: Buffer; bytes: number } {
  if (image.length < 0x250 || image.readUInt32LE(0x202) !== 0x53726448) {
    throw new SandboxError('invalid_argument', 'the kernel image is not a bzImage');
  }
  const start = (image.readUInt8(0x1f1) + 1) * 512 + image.readUInt32LE(0x248);
  const end = start + image.readUInt32LE(0x24c);
  const payload = image.subarray(start, end - 4);
  const magic = payload.readUInt32LE(0);
  const format = magic === 0xfd2fb528 ? 'zstd' : magic === 0x184c2102 ? 'lz4' : undefined;
  if (!format) throw new SandboxError('unimplemented', 'the kernel is compressed with neither zstd nor lz4');
  return { format, payload, bytes: image.readUInt32LE(end - 4) };
}

/** Unpacks the ELF kernel, which boots by PVH at once: the guest need not decompress itself, slow without KVM. */
export async function extractVmlinux(image: Buffer, workFile: string): Promise<Buffer> {
  const { format, payload, bytes } = bzImagePayload(image);
  const kernel = format === 'zstd' ? zstdDecompressSync(payload) : await unpackLz4(payload, workFile);
  if (kernel.length !== bytes) {
    throw new SandboxError(
      'internal',
      `the kernel unpacked to ${kernel.length} bytes, its header says ${bytes}`,
    );
  }
  return kernel;
}

async function unpackLz4(payload: Buffer, workFile: string): Promise<Buffer> {
  const { readFile, writeFile, rm } = await import('node:fs/promises');
  await writeFile(workFile, payload);
  try {
    await run('lz4', ['-d', '-f', '-q', workFile, `${workFile}.out`]);
    return await readFile(`${workFile}.out`);
  } finally {
    await rm(workFile, { force: true });
    await rm(`${workFile}.out`, { force: true });
  }
}
