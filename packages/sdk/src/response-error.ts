import { ERROR_CODES, type ErrorCode, SandboxError } from '@sandbox-backend/protocol';

/** Connect's codes that have no twin in the closed list. */
const CONNECT_CODES: Record<string, ErrorCode> = {
  aborted: 'failed_precondition',
  out_of_range: 'invalid_argument',
  unknown: 'internal',
  data_loss: 'internal',
};

const isErrorCode = (text: unknown): text is ErrorCode =>
  typeof text === 'string' && Object.hasOwn(ERROR_CODES, text);

/** An error of the REST API, of the data plane or of envd, from the HTTP status and body that carried it. */
export function errorFromResponse(status: number, body: string): SandboxError {
  const { code, message, error_code, hint } = parseObject(body);
  const given = typeof message === 'string' && message !== '' ? message : `The server answered ${status}`;
  // Our server puts the hint on a line of its own, since the protocol has no field for it.
  const [text = '', ...lines] = given.split('\n');
  const chosen = isErrorCode(error_code)
    ? error_code
    : typeof code === 'string'
      ? codeFromConnect(code)
      : codeFromStatus(status, text);
  const advice = typeof hint === 'string' ? hint : lines.join('\n') || adviceFor(chosen);
  return new SandboxError(chosen, text, advice ? { hint: advice } : {});
}

/** An error object of a Connect stream's last message. */
export function errorFromConnect(error: { code?: unknown; message?: unknown }): SandboxError {
  const message = typeof error.message === 'string' && error.message ? error.message : 'The call failed';
  return new SandboxError(codeFromConnect(String(error.code)), message);
}

const codeFromConnect = (code: string): ErrorCode =>
  isErrorCode(code) ? code : (CONNECT_CODES[code] ?? 'internal');

function codeFromStatus(status: number, message: string): ErrorCode {
  // The data plane answers 502 for all that it cannot reach; only the text tells why.
  if (status === 502) return /was not found/.test(message) ? 'not_found' : 'unavailable';
  if (status === 409) return 'failed_precondition';
  const found = Object.entries(ERROR_CODES).find(([, { http }]) => http === status);
  return (found?.[0] as ErrorCode | undefined) ?? (status >= 500 ? 'internal' : 'invalid_argument');
}

const adviceFor = (code: ErrorCode): string | undefined =>
  code === 'unauthenticated'
    ? 'Set E2B_API_KEY to the key of this server; sandbox-cli env prints it where the server runs.'
    : undefined;

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // an HTML page of some proxy: the status is all there is to say
  }
}
