import { invalidRequest, parseError, type RpcError } from './errors.ts';

export type RpcCall = {
  /** As JSON, as the client wrote it; undefined for a notification, which gets no answer. */
  id: string | undefined;
  method: string;
  params: unknown;
};
export type RpcRequest = RpcCall | { id: string; error: RpcError };

/** The requests of a message; a batch is answered as one. */
export type RpcMessage = { isBatch: boolean; requests: RpcRequest[] };

const MAX_BATCH = 1_000;
/** Ids of larger messages are echoed as JavaScript reads them: to read such a message twice costs too much. */
const VERBATIM_LENGTH = 64 * 1024;

/** Reads a message of JSON-RPC 2.0. Never throws: what is wrong with it becomes its answer. */
export function parseMessage(text: string): RpcMessage {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch (caught) {
    return single({ id: 'null', error: parseError((caught as Error).message) });
  }
  const exact = readNumbersAsText(text);
  if (!Array.isArray(message)) {
    const request = readRequest(message, exact);
    return { isBatch: false, requests: request ? [request] : [] };
  }
  if (message.length === 0) return single({ id: 'null', error: invalidRequest('empty batch') });
  if (message.length > MAX_BATCH) return single({ id: 'null', error: invalidRequest('batch too large') });
  const requests = message.map((one, at) => readRequest(one, (exact as unknown[] | undefined)?.[at]));
  return { isBatch: true, requests: requests.filter((request) => request !== undefined) };
}

const single = (request: RpcRequest): RpcMessage => ({ isBatch: false, requests: [request] });

/** Undefined for an answer, which nobody asked for. */
function readRequest(message: unknown, exact: unknown): RpcRequest | undefined {
  const { jsonrpc, id, method, params, result, error } = fieldsOf(message);
  const idText = readId(id, fieldsOf(exact).id);
  const isCurrent = jsonrpc === '2.0';
  if (isCurrent && typeof method === 'string' && method !== '' && idText !== '') {
    return { id: idText, method, params };
  }
  const isAnswer = method === undefined && params === undefined && (result ?? error) !== undefined;
  if (isCurrent && idText && isAnswer) return undefined;
  return { id: idText || 'null', error: invalidRequest('invalid request') };
}

/** Undefined when there is none, empty when it is one that cannot be. */
function readId(id: unknown, exact: unknown): string | undefined {
  if (id === undefined) return undefined;
  if (typeof id === 'object' && id !== null) return '';
  if (typeof id === 'number' && exact instanceof NumberText) return exact.text;
  return JSON.stringify(id);
}

/** The message once more, so that an id of any size comes back as it came; undefined when that is too much. */
function readNumbersAsText(text: string): unknown {
  if (text.length > VERBATIM_LENGTH) return undefined;
  try {
    return JSON.parse(text, keepNumbers);
  } catch {
    return undefined; // to walk through it takes more stack than there is
  }
}

class NumberText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** A reviver; that it is told the source is newer than its type. */
const keepNumbers = ((_key: string, value: unknown, context: { source?: string }) =>
  typeof value === 'number' ? new NumberText(context.source ?? String(value)) : value) as (
  key: string,
  value: unknown,
) => unknown;

const fieldsOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
