import { SandboxError } from '@sandbox-backend/protocol';
import type { NewSandbox } from './schemas.ts';

const ALL_TRAFFIC = '0.0.0.0/0';

/**
 * What this server cannot do yet and would change how the sandbox behaves: refused, since a sandbox
 * that silently lacks a rule or a mount is worse than none.
 */
const UNSUPPORTED: readonly { field: string; asked(body: NewSandbox): boolean; instead: string }[] = [
  {
    field: 'autoPause',
    asked: (body) => body.autoPause === true,
    instead: 'Leave it out (lifecycle.onTimeout "kill"): the sandbox is killed when its time is over.',
  },
  {
    field: 'autoPauseMemory',
    asked: (body) => body.autoPauseMemory === false,
    instead: 'Leave it out; it needs autoPause.',
  },
  {
    field: 'autoResume',
    asked: (body) => body.autoResume?.enabled === true,
    instead: 'Leave it out; it needs autoPause.',
  },
  {
    field: 'volumeMounts',
    asked: (body) => (body.volumeMounts?.length ?? 0) > 0,
    instead: 'Write the files into the sandbox after it was created.',
  },
  {
    field: 'iam',
    asked: (body) => Object.keys(body.iam?.tokens ?? {}).length > 0,
    instead: 'Pass credentials as environment variables.',
  },
  {
    field: 'network.rules',
    asked: (body) => Object.keys(body.network?.rules ?? {}).length > 0,
    instead: 'Set the headers in the program that sends the request.',
  },
  {
    field: 'network.egressProxy',
    asked: (body) => body.network?.egressProxy != null,
    instead: 'Set the proxy in the programs of the sandbox (ALL_PROXY).',
  },
  {
    field: 'network.httpsPorts',
    asked: (body) => (body.network?.httpsPorts?.length ?? 0) > 0,
    instead: 'Serve plain HTTP in the sandbox.',
  },
  {
    field: 'network.allowOut',
    asked: (body) => (body.network?.allowOut?.length ?? 0) > 0,
    instead: 'The internet is either open (the default) or closed (allow_internet_access: false).',
  },
  {
    field: 'network.denyOut',
    asked: (body) => (body.network?.denyOut ?? []).some((entry) => entry !== ALL_TRAFFIC),
    instead: `The internet is either open (the default) or closed (allow_internet_access: false, or denyOut ["${ALL_TRAFFIC}"]).`,
  },
];

/** Errors: `invalid_argument`, naming the first field that this server cannot honour. */
export function refuseUnsupported(body: NewSandbox): void {
  const found = UNSUPPORTED.find(({ asked }) => asked(body));
  if (!found) return;
  throw new SandboxError('invalid_argument', `${found.field} is not supported by this server yet`, {
    hint: found.instead,
  });
}

export const allowsInternet = (body: NewSandbox): boolean =>
  body.allow_internet_access !== false && !body.network?.denyOut?.includes(ALL_TRAFFIC);
