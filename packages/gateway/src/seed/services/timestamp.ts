let last = 0n;

/** Nanoseconds since 1970, never the same twice: clients put the lines of a process in order by them. */
export function timestamp(): bigint {
  const now = BigInt(Date.now()) * 1_000_000n;
  last = now > last ? now : last + 1n;
  return last;
}
