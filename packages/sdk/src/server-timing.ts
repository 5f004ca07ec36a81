/** Durations in milliseconds by phase name, from a `Server-Timing` header (`slot;dur=1.2, restore;dur=80`). */
export function parseServerTiming(header: string | undefined): Record<string, number> {
  const phases: Record<string, number> = {};
  for (const entry of header?.split(',') ?? []) {
    const [name, ...parameters] = entry.split(';').map((part) => part.trim());
    const duration = parameters.find((parameter) => parameter.startsWith('dur='));
    const ms = Number(duration?.slice('dur='.length).replaceAll('"', ''));
    if (name && duration && Number.isFinite(ms)) phases[name] = (phases[name] ?? 0) + ms;
  }
  return phases;
}
