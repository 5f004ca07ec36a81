import { SandboxError } from '@sandbox-backend/protocol';
import { parse } from 'smol-toml';
import * as z from 'zod';
import { check } from './explain.ts';
import { fields } from './fields.ts';
import type { ParsedSpec } from './parse.ts';
import { toTemplateSpec } from './to-template-spec.ts';

const startCmd = z.strictObject(
  {
    cmd: fields.command.optional(),
    envfile_path: fields.hostPath.optional(),
    working_dir: fields.guestPath.optional(),
  },
  { error: 'a table' },
);

const template = z.strictObject(
  {
    docker_img: fields.image,
    no_pull: fields.flag.optional(),
    auth: fields.hostPath.optional(),
    files: fields.hostPath.optional(),
    vcpu: fields.vcpus,
    mem_mb: fields.memoryMib,
    disk_mb: fields.diskMib,
    overlay: fields.flag.optional(),
    huge_pages: fields.flag.optional(),
    kernel_version: fields.kernelVersion.optional(),
    vmm_type: fields.vmmType.optional(),
    env: fields.env.optional(),
    user: fields.user.optional(),
    start_cmd: startCmd.optional(),
    ready_cmd: fields.command.optional(),
    rootfs_size: z.unknown().optional(),
  },
  { error: 'a table' },
);

/** The file configures every program of a host: what belongs to the others is theirs to check. */
const file = z.object(
  {
    data_root: fields.hostPath.optional(),
    fc_binary_path: fields.hostPath.optional(),
    ch_binary_path: fields.hostPath.optional(),
    template_manager: z
      .object(
        {
          template_id: z.string({ error: 'a text' }).optional(),
          rootfs_build_mode: fields.buildMode.optional(),
          kernel_debug_output: fields.flag.optional(),
        },
        { error: 'a table' },
      )
      .optional(),
    template: z.record(z.string(), z.unknown(), { error: 'a table of templates' }),
  },
  { error: 'a table' },
);

/**
 * Reads a TOML configuration and takes one template of it: the one that `template_manager.template_id`
 * names, or the only one.
 */
export function parseToml(text: string): ParsedSpec {
  const {
    template: templates,
    template_manager: manager = {},
    ...top
  } = check(file, decode(text), {
    known: () => [],
  });
  const name = chooseTemplate(Object.keys(templates), manager.template_id);
  check(fields.template, name, { known: () => [], under: ['template'] });
  const table = check(template, templates[name], {
    known: ([place]) => Object.keys(place === 'start_cmd' ? startCmd.shape : template.shape),
    under: ['template', name],
  });
  const { vmm_type: vmmType = 'auto' } = table;
  const { spec, warnings } = toTemplateSpec({
    template: name,
    dockerImg: table.docker_img,
    noPull: table.no_pull,
    auth: table.auth,
    files: table.files,
    vcpu: table.vcpu,
    memMB: table.mem_mb,
    diskMB: table.disk_mb,
    overlay: table.overlay,
    hugePages: table.huge_pages,
    kernelVersion: table.kernel_version,
    vmmType,
    hypervisorPath: {
      firecracker: top.fc_binary_path,
      'cloud-hypervisor': top.ch_binary_path,
      auto: '',
      qemu: '',
    }[vmmType],
    rootfsBuildMode: manager.rootfs_build_mode,
    kernelDebugOutput: manager.kernel_debug_output,
    env: table.env,
    user: table.user,
    startCmd: table.start_cmd?.cmd,
    startCmdEnvFilePath: table.start_cmd?.envfile_path,
    startCmdWorkingDirectory: table.start_cmd?.working_dir,
    readyCmd: table.ready_cmd,
  });
  return { spec, warnings, ...(top.data_root ? { dataRoot: top.data_root } : {}) };
}

function chooseTemplate(names: string[], wanted: string | undefined): string {
  const listed = names.join(', ') || 'none';
  if (wanted) {
    if (names.includes(wanted)) return wanted;
    throw new SandboxError(
      'invalid_argument',
      `the template ${JSON.stringify(wanted.slice(0, 80))} is not in the file`,
      {
        hint: `Its templates are: ${listed}.`,
      },
    );
  }
  const [only] = names;
  if (only !== undefined && names.length === 1) return only;
  throw new SandboxError('invalid_argument', 'the file does not say which template to build', {
    hint: `Set template_id under [template_manager] to one of its templates: ${listed}.`,
  });
}

function decode(text: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw new SandboxError(
      'invalid_argument',
      `the template specification is not TOML: ${(cause as Error).message.trim()}`,
      { cause, hint: 'A JSON file must not end in .toml.' },
    );
  }
}
