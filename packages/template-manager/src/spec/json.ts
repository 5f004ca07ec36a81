import { SandboxError } from '@sandbox-backend/protocol';
import * as z from 'zod';
import { check } from './explain.ts';
import { fields } from './fields.ts';
import type { ParsedSpec } from './parse.ts';
import { toTemplateSpec } from './to-template-spec.ts';

/** Written by other tools into their own files, and without a meaning here. */
const DEAD = ['fcPath', 'rootfsSize'] as const;

const schema = z.strictObject({
  template: fields.template,
  dockerImg: fields.image,
  noPull: fields.flag.optional(),
  auth: fields.hostPath.optional(),
  files: fields.hostPath.optional(),
  vcpu: fields.vcpus,
  memMB: fields.memoryMib,
  diskMB: fields.diskMib,
  overlay: fields.flag.optional(),
  hugePages: fields.flag.optional(),
  kernelVersion: fields.kernelVersion.optional(),
  vmmType: fields.vmmType.optional(),
  hypervisorPath: fields.hostPath.optional(),
  rootfsBuildMode: fields.buildMode.optional(),
  kernelDebugOutput: fields.flag.optional(),
  env: fields.env.optional(),
  user: fields.user.optional(),
  startCmd: fields.command.optional(),
  startCmdEnvFilePath: fields.hostPath.optional(),
  startCmdWorkingDirectory: fields.guestPath.optional(),
  readyCmd: fields.command.optional(),
  fcPath: z.unknown().optional(),
  rootfsSize: z.unknown().optional(),
});

const NAMES = Object.keys(schema.shape).filter((name) => !(DEAD as readonly string[]).includes(name));

/** Reads the JSON of one template. */
export function parseJson(text: string): ParsedSpec {
  const json = check(schema, decode(text), { known: () => NAMES });
  const { spec, warnings } = toTemplateSpec(json);
  for (const name of DEAD) {
    if (json[name] !== undefined) warnings.push(`${name} has no meaning and is ignored`);
  }
  return { spec, warnings };
}

function decode(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SandboxError(
      'invalid_argument',
      `the template specification is not JSON: ${(cause as Error).message}`,
      { cause, hint: 'Look for a comment, or a comma too many or too few; a TOML file must end in .toml.' },
    );
  }
}
