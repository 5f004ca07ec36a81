import { SandboxError } from '@sandbox-backend/protocol';

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The string values of an object; anything else in it is left out. */
export function textRecord(value: unknown): Record<string, string> {
  const result: Record<string, string> = {};
  if (isRecord(value)) {
    for (const key in value) {
      const text = value[key];
      if (typeof text === 'string') result[key] = text;
    }
  }
  return result;
}

export function parseObject(text: string): Record<string, unknown> {
  if (text === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SandboxError('invalid_argument', 'the message is not valid JSON');
  }
  if (isRecord(value)) return value;
  throw new SandboxError('invalid_argument', 'the message is not a JSON object');
}

// The readers below take a field by its lowerCamelCase or its snake_case name; absent is the zero value.

const field = (message: Record<string, unknown>, name: string, snake?: string) =>
  message[name] ?? (snake === undefined ? undefined : message[snake]);

const wrong = (name: string, kind: string) =>
  new SandboxError('invalid_argument', `the field ${name} is not ${kind}`);

export function readText(message: Record<string, unknown>, name: string, snake?: string): string {
  const value = field(message, name, snake) ?? '';
  if (typeof value !== 'string') throw wrong(name, 'a string');
  if (value.includes('\0')) throw wrong(name, 'free of zero bytes');
  return value;
}

export function readFlag(message: Record<string, unknown>, name: string, snake?: string): boolean {
  return field(message, name, snake) === true;
}

export function readNumber(message: Record<string, unknown>, name: string): number {
  const value = Number(field(message, name) ?? 0);
  if (!Number.isSafeInteger(value)) throw wrong(name, 'an integer');
  return value;
}

export function readObject(
  message: Record<string, unknown>,
  name: string,
): Record<string, unknown> | undefined {
  const value = field(message, name);
  if (value === undefined || value === null) return undefined;
  if (!isRecord(value)) throw wrong(name, 'an object');
  return value;
}

export function readTexts(message: Record<string, unknown>, name: string, snake?: string): string[] {
  const value = field(message, name, snake) ?? [];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string' && !item.includes('\0'))) {
    return value as string[];
  }
  throw wrong(name, 'a list of strings');
}

export function readBytes(message: Record<string, unknown>, name: string): Buffer | undefined {
  const value = field(message, name);
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw wrong(name, 'base64');
  return Buffer.from(value, 'base64');
}

const JSON_HEADERS = { headers: { 'content-type': 'application/json' } };

export const jsonResponse = (value: unknown) => new Response(JSON.stringify(value), JSON_HEADERS);

export const emptyResponse = () => new Response(null, { status: 204 });

/** Plain HTTP errors have the numeric status in the body: the SDKs read it there. */
export function httpError(status: number, message: string): Response {
  return new Response(JSON.stringify({ code: status, message }), {
    status,
    headers: { 'content-type': 'application/json' },
  });
}
