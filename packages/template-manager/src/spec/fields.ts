import { checkKernelVersion, checkTemplateName, SandboxError } from '@sandbox-backend/protocol';
import * as z from 'zod';
import { parseReference } from '../image/reference.ts';
import { ROOTFS_BUILD_MODES, VMM_TYPES } from './template-spec.ts';

/**
 * The fields of a specification, whatever a dialect calls them. The error of each says what it wants, in
 * words that follow "must be".
 */
export const fields = {
  template: checked(checkTemplateName),
  image: checked(parseReference),
  vcpus: count(1, 128),
  memoryMib: count(128, 1024 * 1024),
  diskMib: count(16, 1024 * 1024),
  kernelVersion: checked((text) => text === '' || checkKernelVersion(text)),
  vmmType: z.enum(VMM_TYPES, { error: `one of ${VMM_TYPES.join(', ')}` }),
  buildMode: z
    .union([z.literal([0, 1, 2]), z.enum(ROOTFS_BUILD_MODES)], {
      error: `0, 1 or 2 (${ROOTFS_BUILD_MODES.join(', ')})`,
    })
    .transform((mode) => (typeof mode === 'number' ? ROOTFS_BUILD_MODES[mode] : mode)),
  flag: z.boolean({ error: 'true or false' }),
  command: text(65_536),
  hostPath: text(4096),
  guestPath: text(4096).refine((path) => path === '' || path.startsWith('/'), {
    error: 'an absolute path in the guest',
  }),
  user: text(32).regex(/^(?:[A-Za-z_][A-Za-z0-9_.-]*)?$/, { error: 'the name of a user' }),
  env: z.record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: 'a name of letters, digits and underscores' }),
    text(131_072),
    { error: 'a table of names and texts' },
  ),
};

function count(min: number, max: number) {
  const error = `a whole number from ${min} to ${max}`;
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error });
}

function text(maxLength: number) {
  return z
    .string({ error: 'a text' })
    .max(maxLength, { error: `a text of at most ${maxLength} characters` })
    .regex(/^[^\0]*$/, { error: 'a text without zero bytes' });
}

/** A text that one of the project's own checks accepts, and whose words are used when it does not. */
function checked(check: (text: string) => unknown) {
  return z.string({ error: 'a text' }).check(({ value, issues }) => {
    try {
      check(value);
    } catch (caught) {
      const { message, hint } = SandboxError.from(caught);
      issues.push({ code: 'custom', message, input: value, params: { ownWords: true, hint } });
    }
  });
}
