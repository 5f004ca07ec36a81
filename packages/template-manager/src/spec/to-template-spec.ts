import type { RootfsBuildMode, TemplateSpec, VmmType } from './template-spec.ts';

/** What a dialect has read, under the names of the JSON form; an empty text is the same as none. */
export type ReadFields = {
  template: string;
  dockerImg: string;
  noPull?: boolean | undefined;
  auth?: string | undefined;
  files?: string | undefined;
  vcpu: number;
  memMB: number;
  diskMB: number;
  overlay?: boolean | undefined;
  hugePages?: boolean | undefined;
  kernelVersion?: string | undefined;
  vmmType?: VmmType | undefined;
  hypervisorPath?: string | undefined;
  rootfsBuildMode?: RootfsBuildMode | undefined;
  kernelDebugOutput?: boolean | undefined;
  env?: Record<string, string> | undefined;
  user?: string | undefined;
  startCmd?: string | undefined;
  startCmdEnvFilePath?: string | undefined;
  startCmdWorkingDirectory?: string | undefined;
  readyCmd?: string | undefined;
};

/** Fills in what was left out. */
export function toTemplateSpec(read: ReadFields): { spec: TemplateSpec; warnings: string[] } {
  const { startCmd, startCmdEnvFilePath: envFile, startCmdWorkingDirectory: workdir } = read;
  const warnings: string[] = [];
  if (!startCmd && (envFile || workdir)) {
    warnings.push('without a start command, its environment file and working directory are ignored');
  }
  if (read.hugePages && read.vmmType === 'firecracker') {
    warnings.push('Firecracker cannot restore a snapshot of a machine with huge pages from a file');
  }
  const spec: TemplateSpec = {
    template: read.template,
    image: read.dockerImg,
    noPull: read.noPull ?? false,
    ...(read.auth ? { authFile: read.auth } : {}),
    ...(read.files ? { files: read.files } : {}),
    vcpus: read.vcpu,
    memoryMib: read.memMB,
    diskMib: read.diskMB,
    overlay: read.overlay ?? false,
    hugePages: read.hugePages ?? false,
    kernelVersion: read.kernelVersion || 'default',
    vmmType: read.vmmType ?? 'auto',
    ...(read.hypervisorPath ? { hypervisorPath: read.hypervisorPath } : {}),
    rootfsBuildMode: read.rootfsBuildMode ?? 'normal',
    kernelDebugOutput: read.kernelDebugOutput ?? false,
    env: read.env ?? {},
    ...(read.user ? { defaultUser: read.user } : {}),
    ...(startCmd
      ? { startCommand: { cmd: startCmd, ...(envFile ? { envFile } : {}), ...(workdir ? { workdir } : {}) } }
      : {}),
    ...(read.readyCmd ? { readyCommand: read.readyCmd } : {}),
  };
  return { spec, warnings };
}
