import { basename } from 'node:path';
import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import type { CreateSpec } from '../../sandboxes/create.ts';
import type { SandboxDeps, SandboxLimits } from '../../sandboxes/deps.ts';
import type { CreateRequest } from './messages.ts';
import { findReferred } from './template-reference.ts';

const DEFAULT_HOURS = 3;
/** 68 years: the largest count of seconds that the other protocols can say. */
const LONGEST_SECONDS = 2 ** 31 - 1;

/** What a request to create a sandbox means here. Errors: `invalid_argument`, `not_found` (template). */
export async function createSpec(
  deps: Pick<SandboxDeps, 'node' | 'snapshots' | 'limits'>,
  teamId: string,
  request: CreateRequest,
): Promise<CreateSpec> {
  if (request.templateID === '') {
    throw new SandboxError('invalid_argument', 'templateID is empty', {
      hint: 'Give the name of a template.',
    });
  }
  const timeoutSeconds = lifeOf(request.maxInstanceLength, deps.limits);
  const template = await findReferred(deps, teamId, request.templateID);
  if (request.hypervisorBinaryPath) checkVmm(request.hypervisorBinaryPath, template.manifest.vmm);
  return {
    template: template.name,
    timeoutSeconds,
    metadata: request.metadata,
    env: {},
    // These clients have no credentials: what they send comes through a door that knows the token.
    secure: true,
    allowInternet: true,
    publicTraffic: true,
    ...(request.sandboxID !== '' && { sandboxId: request.sandboxID }),
    diffSnapshots: request.enableDiffSnapshots,
  };
}

/** Seconds for `maxInstanceLength`, an int64 of hours as text. */
function lifeOf(hours: string, limits: Pick<SandboxLimits, 'maxTimeoutSeconds'>): number {
  const longest = Math.min(limits.maxTimeoutSeconds ?? LONGEST_SECONDS, LONGEST_SECONDS);
  const count = Number(hours);
  if (count === 0) return Math.min(DEFAULT_HOURS * 3600, longest);
  if (Number.isInteger(count) && count > 0 && count * 3600 <= longest) return count * 3600;
  throw new SandboxError(
    'invalid_argument',
    `maxInstanceLength is ${hours}, which is not a time to live in hours`,
    {
      hint: `Give a whole number from 1 to ${Math.floor(longest / 3600)}, or 0 for the default.`,
    },
  );
}

/**
 * A program that a client names is never run. It may say what will happen anyway: a template starts only in the VMM
 * that it was built with.
 */
function checkVmm(path: string, { kind }: VmmIdentity): void {
  const program = basename(path);
  if (program === kind || (kind === 'qemu' && program.startsWith('qemu-system-'))) return;
  throw new SandboxError(
    'invalid_argument',
    'hypervisorBinaryPath is not supported: a template names its VMM',
    {
      hint: `Leave it out; this template was built with ${kind}.`,
    },
  );
}
