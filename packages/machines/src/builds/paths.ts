import { join } from 'node:path';
import { checkBuildId, checkTemplateName } from '@sandbox-backend/protocol';

/** Everything the backend keeps is below one folder; every id is checked before it becomes part of a path. */
export const paths = {
  templates: (dataRoot: string) => join(dataRoot, 'templates'),
  template: (dataRoot: string, name: string) => join(dataRoot, 'templates', checkTemplateName(name)),
  builds: (dataRoot: string, name: string) => join(paths.template(dataRoot, name), 'builds'),
  build: (dataRoot: string, name: string, buildId: string) =>
    join(paths.builds(dataRoot, name), checkBuildId(buildId)),
  /** Symbolic link to the build in force; replaced by a rename. */
  current: (dataRoot: string, name: string) => join(paths.template(dataRoot, name), 'current'),
  /** Builds in the making; short, since control sockets are in there and the kernel bounds their paths. */
  work: (dataRoot: string) => join(dataRoot, 'work'),
  machines: (dataRoot: string) => join(dataRoot, 'machines'),
  envdDisks: (dataRoot: string) => join(dataRoot, 'envd'),
  kernels: (dataRoot: string) => join(dataRoot, 'kernels'),
  cache: (dataRoot: string) => join(dataRoot, 'cache'),
  slots: (dataRoot: string) => join(dataRoot, 'network'),
} as const;

/** File names inside a build's folder. */
export const BUILD_FILES = {
  manifest: 'manifest.json',
  rootfs: 'rootfs.ext4',
  envd: 'envd.ext4',
  upper: 'upper.ext4',
  memory: 'memory',
  state: 'state',
} as const;

/** Where a machine sees its build, read-only, and its own folder. */
export const INSIDE = { build: '/build', machine: '/machine' } as const;
