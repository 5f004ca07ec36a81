import type { Agent, IncomingMessage } from 'node:http';
import { SandboxError } from '@sandbox-backend/protocol';
import { decodeEnvelopes, END_OF_STREAM, encodeEnvelope } from './envelope.ts';
import { brokenOff, readText, request } from './http.ts';
import { errorFromConnect, errorFromResponse } from './response-error.ts';

/** envd of one sandbox, reached through the data plane. */
export type EnvdEndpoint = {
  sandboxUrl: string;
  sandboxId: string;
  accessToken: string | undefined;
  /** Keeps the connections; for callers that must be able to cut those of one sandbox. */
  agent?: Agent | undefined;
};

export type CallOptions = {
  /** Who acts inside the guest; undefined is the template's default user. */
  user?: string | undefined;
  signal?: AbortSignal | undefined;
};

const ENVD_PORT = 49983;
/** Seconds between the keep-alive messages that we ask for in a stream that is otherwise silent. */
const KEEPALIVE_SECONDS = 50;

/** The headers by which the data plane finds port `port` of the sandbox, and envd knows the caller. */
export function envdHeaders(endpoint: EnvdEndpoint, options: CallOptions = {}, port = ENVD_PORT) {
  return {
    'E2b-Sandbox-Id': endpoint.sandboxId,
    'E2b-Sandbox-Port': String(port),
    ...(endpoint.accessToken && { 'X-Access-Token': endpoint.accessToken }),
    ...(options.user && { Authorization: `Basic ${Buffer.from(`${options.user}:`).toString('base64')}` }),
  };
}

/** One Connect call with one answer. */
export async function callUnary<Answer>(
  endpoint: EnvdEndpoint,
  method: string,
  message: unknown,
  options: CallOptions = {},
): Promise<Answer> {
  const body = Buffer.from(JSON.stringify(message));
  const response = await request(`${endpoint.sandboxUrl}/${method}`, {
    method: 'POST',
    headers: {
      ...envdHeaders(endpoint, options),
      'Content-Type': 'application/json',
      'Content-Length': String(body.length),
      'Connect-Protocol-Version': '1',
    },
    body,
    signal: options.signal,
    agent: endpoint.agent,
  });
  const text = await readText(response);
  if (response.statusCode !== 200) throw errorFromResponse(response.statusCode ?? 0, text);
  return JSON.parse(text) as Answer;
}

/**
 * One Connect call with many answers. Ends when envd says so; a connection that breaks or stays
 * silent beyond three keep-alives is `unavailable`, never a quiet end.
 */
export async function* callStream<Answer>(
  endpoint: EnvdEndpoint,
  method: string,
  message: unknown,
  options: CallOptions & { timeoutMs?: number | undefined } = {},
): AsyncGenerator<Answer> {
  const body = encodeEnvelope(message);
  const response = await request(`${endpoint.sandboxUrl}/${method}`, {
    method: 'POST',
    headers: {
      ...envdHeaders(endpoint, options),
      'Content-Type': 'application/connect+json',
      'Content-Length': String(body.length),
      'Connect-Protocol-Version': '1',
      'Keepalive-Ping-Interval': String(KEEPALIVE_SECONDS),
      ...(options.timeoutMs && { 'Connect-Timeout-Ms': String(options.timeoutMs) }),
    },
    body,
    signal: options.signal,
    agent: endpoint.agent,
  });
  if (response.statusCode !== 200) {
    throw errorFromResponse(response.statusCode ?? 0, await readText(response));
  }
  breakWhenSilent(response, KEEPALIVE_SECONDS * 3000);
  try {
    for await (const { flags, data } of decodeEnvelopes(response)) {
      const answer: unknown = JSON.parse(data.toString('utf8'));
      if (flags & END_OF_STREAM) {
        const { error } = answer as { error?: { code?: unknown; message?: unknown } };
        if (error) throw errorFromConnect(error);
        return;
      }
      yield answer as Answer;
    }
  } catch (caught) {
    if (caught instanceof SandboxError) throw caught;
    throw options.signal?.aborted ? brokenOff(caught) : connectionLost(endpoint, caught);
  } finally {
    response.destroy();
  }
  throw connectionLost(endpoint, undefined);
}

function breakWhenSilent(response: IncomingMessage, silenceMs: number) {
  const { socket } = response;
  const onTimeout = () => response.destroy(new Error(`nothing came for ${silenceMs} ms`));
  socket.setTimeout(silenceMs, onTimeout);
  response.once('close', () => {
    socket.setTimeout(0);
    socket.off('timeout', onTimeout);
  });
}

const connectionLost = (endpoint: EnvdEndpoint, cause: unknown) =>
  new SandboxError('unavailable', `The connection to sandbox ${endpoint.sandboxId} was lost`, {
    cause,
    hint: 'It may have ended: see sandbox-cli sandbox info.',
  });
