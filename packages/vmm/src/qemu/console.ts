/** What the guest printed and nobody read; the oldest is overwritten. A power of two, as QEMU wants it. */
export const CONSOLE_BYTES = 64 * 1024;
