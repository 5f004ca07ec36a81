import { formatDuration } from './duration.ts';

/** `2026-08-01 12:30:05` in the reader's time zone; what is no time stays as it is. */
export function formatTime(rfc3339: string | undefined): string {
  if (!rfc3339) return '-';
  const date = new Date(rfc3339);
  if (Number.isNaN(date.getTime())) return rfc3339;
  const two = (value: number) => String(value).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`;
}

/** Years from now is how the protocol says never. */
const NEVER_MS = 5 * 365 * 86_400_000;

export function formatEnd(rfc3339: string | undefined, now = Date.now()): string {
  const end = rfc3339 ? Date.parse(rfc3339) : Number.NaN;
  if (Number.isNaN(end)) return '-';
  return end - now > NEVER_MS ? 'never' : end <= now ? 'now' : `in ${formatDuration(end - now)}`;
}
