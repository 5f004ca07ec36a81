import { type Context, Hono } from 'hono';
import { authenticate } from '../../auth/authenticate.ts';
import type { KeyRows, Team } from '../../db/keys.ts';
import { errorBody, HttpError, logFailure } from './errors.ts';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type Handler = (c: Context, team: Team) => Response | Promise<Response>;

export type Routes = {
  app: Hono;
  /** A route for holders of an API key. */
  on(method: Method, path: string, handler: Handler): void;
};

/** An application in which every answer, also to what it does not know, has the protocol's form. */
export function routes(keys: Pick<KeyRows, 'findByHash'>): Routes & { finish(): void } {
  const app = new Hono();
  const methods = new Map<string, Method[]>();

  app.onError((caught, c) => {
    const { method, path } = c.req;
    logFailure(caught, { method, path });
    const body = errorBody(caught);
    // The statuses of our errors all have bodies; Hono's type is narrower than its check.
    return c.json(body, body.code as 500);
  });
  app.notFound((c) => {
    const message = `${c.req.method} ${c.req.path.slice(0, 200)} is not a route of this API`;
    return c.json(errorBody(new HttpError(404, 'not_found', message)), 404);
  });

  return {
    app,
    on(method, path, handler) {
      methods.set(path, [...(methods.get(path) ?? []), method]);
      app.on(method, path, (c) => handler(c, authenticate(keys, presentedKey(c))));
    },
    /** After the last route: a known path with another method is 405, not 404. */
    finish() {
      for (const [path, allowed] of methods) {
        app.all(path, (c) => {
          c.header('Allow', allowed.join(', '));
          throw new HttpError(405, 'invalid_argument', `${c.req.path} does not answer to ${c.req.method}`, {
            hint: `It answers to ${allowed.join(', ')}.`,
          });
        });
      }
    },
  };
}

/** The SDKs send X-API-KEY; `e2b auth` of the CLI sends a bearer token. */
export function presentedKey(c: Context): string | undefined {
  return c.req.header('X-API-KEY') ?? /^Bearer (\S+)$/i.exec(c.req.header('Authorization') ?? '')?.[1];
}
