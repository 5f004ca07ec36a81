import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { badRequest } from './refusal.ts';

export type Target = {
  sandboxId: string;
  port: number;
  /** In origin form: path and query, as the client wrote them. */
  path: string;
  /** The host that the client meant, with its port if it named one. */
  host: string;
};

/** envd's port in addresses, whatever the port is that it listens on. */
export const ENVD_PORT = 49983;

/** A sandbox is named by its id: letters and digits, or a UUID; older clients append "-" and a client id. */
const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const HOST_LABEL = new RegExp(`^(\\d{1,5})-(${UUID}|[a-z0-9]{1,40})(?:\\.|$)`);
const HEADER_ID = new RegExp(`^(${UUID}|[a-z0-9]{1,40})(?:-[A-Za-z0-9]{1,40})?$`);

/**
 * Which port of which sandbox a request is for: the left-most label of its host,
 * `<port>-<sandboxId>.<anything>`, or for `localhost`, an address or `sandbox.*` (and any other host
 * without such a label) the headers E2b-Sandbox-Id and E2b-Sandbox-Port.
 *
 * Throws a 400 refusal for what can be read in more ways than one.
 */
export function readTarget(req: IncomingMessage): Target {
  const { path, authority } = readRequestTarget(req.url ?? '');
  checkFraming(req);
  const host = authority ?? req.headers.host ?? '';
  return { ...(readHost(host) ?? readHeaders(req)), path, host };
}

/** Throws a 400 refusal for a request that another server could cut or address in another way. */
export function checkFraming(req: IncomingMessage): void {
  if (count(req.rawHeaders, 'host') > 1) throw badRequest('The request has more than one Host header');
  const encoding = req.headers['transfer-encoding'];
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'chunked') {
    throw badRequest('The only transfer encoding is chunked');
  }
}

function readHost(host: string): { sandboxId: string; port: number } | undefined {
  const name = host.replace(/:\d*$/, '').toLowerCase();
  if (name === 'localhost' || name.startsWith('sandbox.') || isIP(name.replace(/^\[|\]$/g, '')))
    return undefined;
  const [, port, sandboxId] = HOST_LABEL.exec(name) ?? [];
  return port && sandboxId ? { sandboxId, port: checkPort(port) } : undefined;
}

function readHeaders(req: IncomingMessage): { sandboxId: string; port: number } {
  const sandboxId = req.headers['e2b-sandbox-id'];
  const port = req.headers['e2b-sandbox-port'];
  if (sandboxId === undefined || port === undefined) {
    throw badRequest(
      'The request names no sandbox: use the host <port>-<sandboxId>.<domain>, or the headers E2b-Sandbox-Id and E2b-Sandbox-Port',
    );
  }
  const [, id] = HEADER_ID.exec(String(sandboxId)) ?? [];
  if (id === undefined) throw badRequest('E2b-Sandbox-Id is not the id of a sandbox');
  return { sandboxId: id, port: checkPort(String(port)) };
}

function checkPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw badRequest(`${JSON.stringify(text.slice(0, 20))} is not a port`);
  return port;
}

/** A request target in absolute form goes to the host in it, and is sent on in origin form. */
function readRequestTarget(url: string): { path: string; authority?: string } {
  if (url.startsWith('/') || url === '*') return { path: url };
  const [, authority, rest = ''] = /^https?:\/\/(?:[^/?#@]*@)?([^/?#@]+)([/?][^#]*)?$/i.exec(url) ?? [];
  if (authority === undefined) throw badRequest('The request target is not a path');
  return { path: rest.startsWith('/') ? rest : `/${rest}`, authority };
}

function count(rawHeaders: readonly string[], name: string): number {
  let found = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at]!.toLowerCase() === name) found++;
  return found;
}
