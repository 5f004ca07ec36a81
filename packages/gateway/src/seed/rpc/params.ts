import { invalidParams } from './errors.ts';

/** What a method takes, by position. `?` marks what may be left out at the end or be null. */
export type Param = 'string' | 'string?' | 'size' | 'environment' | 'environment?';

type Environment = Record<string, string>;
type ValueOf<P> = P extends 'string'
  ? string
  : P extends 'string?'
    ? string | undefined
    : P extends 'size'
      ? number
      : P extends 'environment'
        ? Environment
        : Environment | undefined;
export type ValuesOf<P extends readonly Param[]> = { -readonly [K in keyof P]: ValueOf<P[K]> };

/** Errors: the protocol's own, for values that are missing, too many or of another kind. */
export function readParams(params: unknown, kinds: readonly Param[]): unknown[] {
  if (params !== undefined && params !== null && !Array.isArray(params))
    throw invalidParams('non-array args');
  const given = (params ?? []) as unknown[];
  const values: unknown[] = [];
  for (const [at, value] of given.entries()) {
    const kind = kinds[at];
    if (kind === undefined) throw invalidParams(`too many arguments, want at most ${kinds.length}`);
    values.push(readValue(value, kind, at));
  }
  for (let at = values.length; at < kinds.length; at++) {
    if (!kinds[at]!.endsWith('?')) throw invalidParams(`missing value for required argument ${at}`);
  }
  return values;
}

/** Null is the zero value of what must be there, and nothing where nothing may be. */
function readValue(value: unknown, kind: Param, at: number): unknown {
  const wrong = (found: unknown, wanted: string) =>
    invalidParams(
      `invalid argument ${at}: json: cannot unmarshal ${nameOf(found)} into Go value of type ${wanted}`,
    );
  switch (kind) {
    case 'string':
    case 'string?':
      if (value === null) return kind === 'string' ? '' : undefined;
      if (typeof value !== 'string') throw wrong(value, 'string');
      return value;
    case 'size': {
      if (value === null) return 0;
      if (typeof value !== 'number') throw wrong(value, 'uint16');
      if (!Number.isInteger(value) || value < 0 || value > 65_535) throw wrong(value, 'uint16');
      return value;
    }
    default: {
      if (value === null) return kind === 'environment' ? {} : undefined;
      if (typeof value !== 'object' || Array.isArray(value)) throw wrong(value, 'map[string]string');
      const entries = Object.entries(value as object);
      for (const [, text] of entries) if (typeof text !== 'string') throw wrong(text, 'string');
      return Object.fromEntries(entries);
    }
  }
}

const nameOf = (value: unknown): string => {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number')
    return Number.isInteger(value) && value >= 0 && value < 65_536 ? 'number' : `number ${value}`;
  return typeof value === 'boolean' ? 'bool' : typeof value;
};
