import { canReflink } from '@sandbox-backend/host';
import type { Operation } from '@sandbox-backend/kit';
import { type HostConfig, openHost, paths, readHostConfig, withHypervisor } from '@sandbox-backend/machines';
import { type BuildManifest, ENVD_VERSION, SandboxError } from '@sandbox-backend/protocol';
import { type BuildSpec, buildTemplate } from '../builds/build.ts';
import { findFittingBuild } from '../builds/find-fitting.ts';
import { prepareEnvdDisk } from '../guest/envd-bundle.ts';
import { DEFAULT_KERNEL, findKernel, prepareDefaultKernel } from '../guest/kernel.ts';
import { buildRootfs, findCachedRootfs, type Rootfs } from '../rootfs/build.ts';
import { pruneCache } from '../rootfs/prune.ts';
import { readEnvironmentFile } from '../spec/environment-file.ts';
import { loadTemplateSpec } from '../spec/load.ts';
import type { TemplateSpec } from '../spec/template-spec.ts';

/** Images and root file systems of templates that nobody builds any more are let go beyond this. */
const CACHE_BYTES = 20 * 1024 ** 3;

/** `template-manager --template FILE`: from a specification to a build in force. */
export async function build(
  op: Operation,
  dataRoot: string,
  options: { file: string; ifNeeded: boolean; refresh: boolean; json: boolean },
): Promise<void> {
  const { spec, warnings } = await op.phase('read specification', () => loadTemplateSpec(options.file));
  for (const warning of warnings) console.error(`warning: ${warning}`);
  const config = { ...readHostConfig(process.env), dataRoot };
  const own = spec.hypervisorPath ? await withHypervisor(config, spec.hypervisorPath, spec.vmmType) : config;
  refuseHugePages(spec);
  if (options.ifNeeded) {
    const envdDisk = await prepareEnvdDisk(op, paths.envdDisks(dataRoot));
    const manifest = await findFittingBuild(op, own, spec.template, envdDisk);
    if (manifest) return report(options.json, manifest, `the template ${spec.template} is there already`);
  }

  const rootfs = await findOrBuildRootfs(op, spec, dataRoot, options);
  if (spec.rootfsBuildMode === 'build-rootfs-only') {
    report(
      options.json,
      { template: spec.template, rootfs: rootfs.path },
      `root file system at ${rootfs.path}`,
    );
    return;
  }
  const manifest = await bootAndPublish(op, own, spec, rootfs);
  await pruneCache(paths.cache(dataRoot), CACHE_BYTES);
  report(
    options.json,
    manifest,
    `the template ${manifest.template} is built: ${manifest.vcpus} vCPU, ${manifest.memoryMib} MiB, restored for trial in ${manifest.trial.restoreMs} ms
start a sandbox of it: bin/sandbox-cli sandbox create -t ${manifest.template}`,
  );
}

async function findOrBuildRootfs(
  op: Operation,
  spec: TemplateSpec,
  dataRoot: string,
  options: { refresh: boolean; json: boolean },
): Promise<Rootfs> {
  const cacheDir = paths.cache(dataRoot);
  const { template, diskMib, overlay } = spec;
  if (spec.rootfsBuildMode === 'skip-build-rootfs') {
    const cached = await findCachedRootfs(op, { template, diskMib, overlay }, { cacheDir });
    if (cached) return cached;
    throw new SandboxError(
      'failed_precondition',
      `there is no root file system of ${template} from an earlier build`,
      {
        hint: 'Build once with rootfsBuildMode 0 or 1.',
      },
    );
  }
  return buildRootfs(
    op,
    {
      template,
      reference: spec.image,
      noPull: spec.noPull,
      refresh: options.refresh,
      diskMib,
      overlay,
      ...(spec.authFile ? { authFile: spec.authFile } : {}),
      ...(spec.files ? { files: spec.files } : {}),
      ...(options.json ? {} : { onProgress: (text: string) => console.error(`  ${text.trimEnd()}`) }),
    },
    { cacheDir },
  );
}

async function bootAndPublish(
  op: Operation,
  config: HostConfig,
  spec: TemplateSpec,
  rootfs: Rootfs,
): Promise<BuildManifest> {
  const { dataRoot } = config;
  if (spec.kernelVersion === DEFAULT_KERNEL) await prepareDefaultKernel(op, dataRoot);
  const kernel = await findKernel(dataRoot, spec.kernelVersion);
  const envdDisk = await prepareEnvdDisk(op, paths.envdDisks(dataRoot));
  await using host = await openHost(op, config, { spareSlots: 0, recover: false });
  const vmm = host.vmms.choose(spec.vmmType, {
    cheapRawDisks: spec.overlay || (await canReflink(dataRoot)),
  });
  return await buildTemplate(op, host, await toBuildSpec(spec, rootfs, { kernel, envdDisk, vmm }), {
    ...(spec.kernelDebugOutput ? { onConsole: (text: string) => void process.stderr.write(text) } : {}),
  });
}

async function toBuildSpec(
  spec: TemplateSpec,
  rootfs: Rootfs,
  guest: Pick<BuildSpec, 'kernel' | 'envdDisk' | 'vmm'>,
): Promise<BuildSpec> {
  const { startCommand } = spec;
  const defaultUser = spec.defaultUser ?? rootfs.account.name;
  return {
    ...guest,
    template: spec.template,
    vcpus: spec.vcpus,
    memoryMib: spec.memoryMib,
    diskMib: spec.diskMib,
    overlay: spec.overlay,
    debug: spec.kernelDebugOutput,
    env: { ...rootfs.imageConfig.env, ...spec.env },
    defaultUser,
    rootfs: { path: rootfs.path, ...(rootfs.upper ? { upper: rootfs.upper } : {}) },
    envdVersion: ENVD_VERSION,
    readyTimeoutMs: 5 * 60_000,
    ...(spec.readyCommand ? { readyCommand: spec.readyCommand } : {}),
    ...(startCommand
      ? {
          startCommand: {
            cmd: startCommand.cmd,
            user: defaultUser,
            env: startCommand.envFile ? await readEnvironmentFile(startCommand.envFile) : {},
            ...(startCommand.workdir ? { cwd: startCommand.workdir } : {}),
          },
        }
      : {}),
  };
}

/** A field that no VMM can honour is refused before anything is fetched. */
function refuseHugePages(spec: TemplateSpec): void {
  if (!spec.hugePages) return;
  throw new SandboxError(
    'failed_precondition',
    `${spec.template} asks for hugePages: a snapshot with huge pages cannot be mapped privately from its file, ` +
      'so that no VMM restores it without copying all of its memory',
    { hint: 'Set hugePages to false.' },
  );
}

function report(json: boolean, value: unknown, text: string): void {
  console.log(json ? JSON.stringify(value, undefined, 2) : text);
}
