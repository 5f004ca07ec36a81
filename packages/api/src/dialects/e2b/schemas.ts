import { z } from 'zod';

// Shapes of the protocol's requests. What is optional may also be null, as some clients send it;
// unknown fields are dropped, those that would change behaviour are in `unsupported.ts`.

const seconds = z.number().int().nullish();
const strings = z.record(z.string(), z.string()).nullish();
const list = z.array(z.string()).nullish();

export const newSandbox = z.object({
  templateID: z.string().min(1),
  timeout: seconds,
  secure: z.boolean().nullish(),
  metadata: strings,
  envVars: z
    .record(
      z.string().regex(/^[^=\0]+$/, 'the name of a variable has no "=" and is not empty'),
      z.string().regex(/^[^\0]*$/, 'a value has no NUL'),
    )
    .nullish(),
  allow_internet_access: z.boolean().nullish(),
  network: z
    .object({
      allowPublicTraffic: z.boolean().nullish(),
      maskRequestHost: z
        .string()
        .refine(isHostMask, 'is not a host name with an optional port or the placeholder for one')
        .nullish(),
      allowOut: list,
      denyOut: list,
      egressProxy: z.unknown().optional(),
      rules: z.record(z.string(), z.unknown()).nullish(),
      httpsPorts: z.array(z.unknown()).nullish(),
    })
    .nullish(),
  autoPause: z.boolean().nullish(),
  autoPauseMemory: z.boolean().nullish(),
  autoResume: z.object({ enabled: z.boolean().nullish() }).nullish(),
  volumeMounts: z.array(z.unknown()).nullish(),
  iam: z.object({ tokens: z.record(z.string(), z.unknown()).nullish() }).nullish(),
});
export type NewSandbox = z.output<typeof newSandbox>;

export const timeoutRequest = z.object({ timeout: z.number().int() });
export const refreshRequest = z.object({ duration: seconds });
export const connectRequest = z.object({ timeout: seconds, memory: z.boolean().nullish() });

export const snapshotRequest = z.object({ name: z.string().max(200).nullish() });
export const snapshotsQuery = z.object({
  sandboxID: z.string().optional(),
  name: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(100).default(100),
  nextToken: z.string().optional(),
});

const milliseconds = z.coerce.number().int().min(0).optional();

export const listQuery = z.object({
  metadata: z.string().optional(),
  state: z
    .string()
    .transform((text) => text.split(',').filter(Boolean))
    .pipe(z.array(z.enum(['running', 'paused'])))
    .optional(),
  order: z.enum(['asc', 'desc']).default('desc'),
  startedAfter: z
    .string()
    // An unencoded "+" of a time zone arrives as a space.
    .transform((text) => Date.parse(text.replace(' ', '+')))
    .refine(Number.isFinite, 'is not a time as in RFC 3339')
    .optional(),
  template: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(100).default(100),
  nextToken: z.string().optional(),
});

export const metricsQuery = z.object({ start: milliseconds, end: milliseconds });
export const manyMetricsQuery = z.object({
  sandbox_ids: z
    .string()
    .transform((text) => text.split(',').filter(Boolean))
    .pipe(z.array(z.string()).max(100)),
});
export const logsQuery = z.object({
  start: milliseconds,
  limit: z.coerce.number().int().min(0).default(1000),
});
export const logsV2Query = z.object({
  cursor: milliseconds,
  limit: z.coerce.number().int().min(0).max(1000).default(1000),
  direction: z.enum(['forward', 'backward']).default('forward'),
  level: z.enum(['debug', 'info', 'warn', 'error']).optional(),
  search: z.string().max(256).optional(),
});

function isHostMask(text: string): boolean {
  return /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::\d{1,5})?$/i.test(text.replace(/\$\{PORT\}/g, '1'));
}
