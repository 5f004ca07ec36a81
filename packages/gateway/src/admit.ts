import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { SandboxRoute } from '@sandbox-backend/protocol';
import { isInternalRoute } from './internal-route.ts';
import type { RunningRoute } from './link.ts';
import { Refusal, sandboxNotFound } from './refusal.ts';
import { ENVD_PORT, readTarget, type Target } from './target.ts';

export type Resolve = (sandboxId: string) => SandboxRoute | undefined;

/** Where a request goes, if it may go there at all; otherwise throws the refusal to answer with. */
export function admit(req: IncomingMessage, resolve: Resolve): { target: Target; route: RunningRoute } {
  const target = readTarget(req);
  const { sandboxId } = target;
  const route = resolve(sandboxId);
  if (route?.state === 'changing') {
    throw new Refusal({ sandboxId, message: 'The sandbox is being paused or resumed', code: 409 });
  }
  if (route?.state !== 'running') throw sandboxNotFound(sandboxId);

  if (target.port === route.envdPort) target.port = ENVD_PORT;
  if (target.port === ENVD_PORT) {
    // envd asks for a token of its own.
    if (isInternalRoute(target.path)) throw new Refusal({ sandboxId, message: 'Not found', code: 404 });
  } else if (route.trafficToken !== undefined) {
    checkTrafficToken(sandboxId, route.trafficToken, req.headers['e2b-traffic-access-token']);
  }
  return { target, route };
}

function checkTrafficToken(sandboxId: string, token: string, given: string | string[] | undefined): void {
  if (typeof given === 'string' && timingSafeEqual(digest(given), digest(token))) return;
  const what = given === undefined ? 'is missing' : 'is not valid';
  throw new Refusal({ sandboxId, message: `The header e2b-traffic-access-token ${what}`, code: 403 });
}

const digest = (text: string) => createHash('sha256').update(text).digest();
