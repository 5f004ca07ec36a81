import type { IncomingMessage } from 'node:http';
import { badRequest, Refusal } from '../refusal.ts';
import { checkFraming } from '../target.ts';

export type SeedTarget = {
  sandboxId: string;
  /** Empty when the address has none. */
  token: string;
  port: number;
  /** What follows the port, in origin form, as the client wrote it. */
  path: string;
  host: string;
};

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
/** `/<sandboxId>.<token>/<port>` and the rest, which begins with `/` or `?` or is empty. */
const ADDRESS = new RegExp(
  `^/(${UUID}|[a-z0-9]{1,40})(?:\\.([0-9a-f]{32}))?/([1-9][0-9]{0,4})(?![^/?])([^#]*)$`,
);

/**
 * Which port of which sandbox a path is for. Nothing of the address is decoded or tidied up: an escape, a dot
 * segment or a doubled slash in it is no address. Throws a refusal: 404 for that, 400 for what is no path or
 * could be read in two ways.
 */
export function readSeedPath(req: IncomingMessage): SeedTarget {
  const url = req.url ?? '';
  if (!url.startsWith('/')) throw badRequest('The request target is not a path');
  checkFraming(req);
  const address = parseSeedPath(url);
  if (!address) throw new Refusal({ message: 'The path is not /<privateIP>/<port>/…', code: 404 });
  return { ...address, host: req.headers.host ?? '' };
}

export function parseSeedPath(url: string): Omit<SeedTarget, 'host'> | undefined {
  const [, sandboxId, token = '', digits, rest = ''] = ADDRESS.exec(url) ?? [];
  const port = Number(digits);
  if (sandboxId === undefined || port > 65_535) return undefined;
  return { sandboxId, token, port, path: rest.startsWith('/') ? rest : `/${rest}` };
}
