import { SandboxError } from '@sandbox-backend/protocol';
import type * as z from 'zod';
import { nearestName } from './nearest.ts';

/** The names that a table at a path of the value may have. */
type KnownNames = (path: readonly PropertyKey[]) => readonly string[];

/**
 * Checks a value that a user wrote, which stands `under` a path of its file.
 * Errors: `invalid_argument` that names every field that is wrong, what it is and what it must be.
 */
export function check<T>(
  schema: z.ZodType<T>,
  value: unknown,
  options: { known: KnownNames; under?: readonly string[] },
): T {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap((issue) => describe(issue, options));
  const hints = new Set(problems.map(({ hint }) => hint).filter((hint) => hint !== undefined));
  throw new SandboxError(
    'invalid_argument',
    `the template specification is not valid: ${problems.map(({ message }) => message).join('; ')}`,
    { cause: parsed.error, hint: [...hints].join(' ') || 'Correct the file and run the command again.' },
  );
}

type Problem = { message: string; hint?: string };

function describe(
  issue: z.core.$ZodIssue,
  { known, under = [] }: { known: KnownNames; under?: readonly string[] },
): Problem[] {
  const field = [...under, ...issue.path.map(String)].join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) =>
      unknownField(field === '' ? key : `${field}.${key}`, key, known(issue.path)),
    );
  }
  if (issue.code === 'invalid_key') {
    return [{ message: `${field}: a name in it must be ${issue.issues[0]?.message ?? 'another'}` }];
  }
  if (issue.code === 'custom' && issue.params?.ownWords === true) {
    const { hint } = issue.params;
    return [{ message: `${field}: ${issue.message}`, ...(typeof hint === 'string' ? { hint } : {}) }];
  }
  const name = field === '' ? 'it' : field;
  if (issue.input === undefined) return [{ message: `${name} is missing, and must be ${issue.message}` }];
  // The environment is where secrets are.
  const got = issue.path.includes('env') ? typeName(issue.input) : show(issue.input);
  return [{ message: `${name} must be ${issue.message}, and is ${got}` }];
}

function unknownField(field: string, key: string, known: readonly string[]): Problem {
  const nearest = nearestName(key, known);
  return {
    message: `${field.slice(0, 100)} is not a field`,
    hint: nearest ? `Did you mean ${nearest}?` : `The fields are ${known.join(', ')}.`,
  };
}

function show(value: unknown): string {
  if (typeof value === 'string') {
    return `the text ${JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)}`;
  }
  return typeof value === 'number' || typeof value === 'boolean' ? `${value}` : typeName(value);
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return 'a date';
  return typeof value === 'string' ? 'a text' : typeof value === 'object' ? 'a table' : `a ${typeof value}`;
}
