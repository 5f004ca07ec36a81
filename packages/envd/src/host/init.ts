import { SandboxError } from '@sandbox-backend/protocol';
import type { Guest } from '../guest.ts';
import { emptyResponse, parseObject, readText, textRecord } from '../http/json.ts';
import { addEntropy, setClock } from '../runtime.ts';
import { keepIdentity } from './keep-identity.ts';
import { parseTimestamp } from './parse-timestamp.ts';
import { setHostname } from './set-hostname.ts';

/** A clock that runs back is worse than one that is a little fast. */
const TOLERATED_BACKWARD_NS = 50_000_000n;

/**
 * Gives the guest the identity of its sandbox: clock, entropy, host name, token, environment. The host calls it first
 * after every restore; when it is answered, all of it holds.
 */
export async function init(guest: Guest, request: Request): Promise<Response> {
  const message = parseObject(await request.text());
  refuseUnknown(message);
  const timestamp = parseTimestamp(readText(message, 'timestamp'));
  const entropy = Buffer.from(readText(message, 'entropy').slice(0, 2048), 'base64');
  const hostname = readText(message, 'hostname');

  const { identity } = guest;
  const hyperloop = readText(message, 'hyperloopIP');
  guest.identity = {
    accessToken: readText(message, 'accessToken') || identity.accessToken,
    env: message.envVars === undefined ? identity.env : textRecord(message.envVars),
    defaultUser: readText(message, 'defaultUser') || identity.defaultUser,
    defaultWorkdir: readText(message, 'defaultWorkdir') || identity.defaultWorkdir,
    sandboxId: readText(message, 'sandboxId') || identity.sandboxId,
    templateId: readText(message, 'templateId') || identity.templateId,
    eventsAddress: hyperloop ? `http://${hyperloop}` : identity.eventsAddress,
  };
  if (guest.options.system) {
    if (timestamp !== undefined) {
      const ahead = BigInt(Date.now()) * 1_000_000n - timestamp;
      if (ahead < 0n || ahead > TOLERATED_BACKWARD_NS) setClock(timestamp);
    }
    if (entropy.length > 0) addEntropy(entropy);
    if (hostname) setHostname(hostname);
  }
  keepIdentity(guest);
  return emptyResponse();
}

/** What would change how the sandbox behaves is refused rather than ignored. */
function refuseUnknown(message: Record<string, unknown>): void {
  const { volumeMounts, caBundle } = message;
  if (Array.isArray(volumeMounts) && volumeMounts.length > 0) {
    throw new SandboxError('unimplemented', 'envd does not mount volumes');
  }
  if (typeof caBundle === 'string' && caBundle !== '') {
    throw new SandboxError('unimplemented', 'envd does not install certificates');
  }
}
