import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Operation } from '@sandbox-backend/kit';
import { BUILD_FILES, currentBuild, type HostConfig, openVmms } from '@sandbox-backend/machines';
import { type BuildManifest, vmmDifferences } from '@sandbox-backend/protocol';

/**
 * The build in force of a template, if it restores on this host and has this very envd; undefined when it is to be
 * built again. What it was built from is not compared.
 */
export async function findFittingBuild(
  op: Operation,
  config: HostConfig,
  template: string,
  envdDisk: string,
): Promise<BuildManifest | undefined> {
  const build = await currentBuild(config.dataRoot, template);
  if (!build) return undefined;
  const { manifest, directory } = build;
  // A build has the very file of its envd, as one more name of it.
  const [own, newest] = await Promise.all([stat(join(directory, BUILD_FILES.envd)), stat(envdDisk)]);
  if (own.ino !== newest.ino) return undefined;
  const { capabilities } = await openVmms(op, config);
  const here = capabilities.find(({ vmm }) => vmm === manifest.vmm.kind);
  if (!here?.available || vmmDifferences(manifest.vmm, here.identity).length > 0) return undefined;
  return manifest;
}
