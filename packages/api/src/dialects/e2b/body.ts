import { SandboxError } from '@sandbox-backend/protocol';
import type { z } from 'zod';
import { HttpError } from './errors.ts';

export const LARGEST_BODY_BYTES = 1024 * 1024;

/**
 * The body of a request as the schema has it; an absent one counts as `{}`.
 * Errors: `invalid_argument`, with what is wrong where; 413 and 415.
 */
export async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
): Promise<z.output<Schema>> {
  const text = await readText(request);
  const type = request.headers.get('content-type');
  if (text.trim() === '') return check(schema, {}, 'body');
  if (type && !/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw new HttpError(
      415,
      'invalid_argument',
      `The body is ${JSON.stringify(type.slice(0, 80))}, not JSON`,
      {
        hint: 'Send it with the header Content-Type: application/json.',
      },
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SandboxError('invalid_argument', `The body is not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  return check(schema, value, 'body');
}

/** Errors: `invalid_argument`, naming each field that is wrong. */
export function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: 'body' | 'query',
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.join('.') || what}: ${issue.message}`);
  throw new SandboxError('invalid_argument', `The ${what} is not valid: ${issues.join('; ')}`);
}

async function readText(request: Request): Promise<string> {
  const tooLarge = () =>
    new HttpError(413, 'invalid_argument', `The body is larger than ${LARGEST_BODY_BYTES} bytes`, {
      hint: 'Write large content to a file of the sandbox instead.',
    });
  if (Number(request.headers.get('content-length')) > LARGEST_BODY_BYTES) throw tooLarge();
  if (!request.body) return '';
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body) {
    bytes += chunk.byteLength;
    if (bytes > LARGEST_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
