import { SandboxError, type TemplateInfo } from '@sandbox-backend/protocol';
import type { SandboxDeps } from '../../sandboxes/deps.ts';
import { resolveTemplate } from '../../templates/find.ts';

/** The folder of a build, as a snapshot's answer names it. */
const BUILD_FOLDER = /\/templates\/([^/]+)\/builds\/([^/]+)\/?$/;

/**
 * The template or snapshot that a client means: by name, or by the path that its snapshot was answered with. Such a
 * path is read as a name and never opened, and finds only the snapshot that was made with that answer.
 *
 * Errors: `not_found`.
 */
export async function findReferred(
  deps: Pick<SandboxDeps, 'node' | 'snapshots'>,
  teamId: string,
  reference: string,
): Promise<TemplateInfo> {
  const [, name, buildId] = reference.startsWith('/') ? (BUILD_FOLDER.exec(reference) ?? []) : [];
  const found = await resolveTemplate(deps, teamId, name ?? reference);
  if (buildId === undefined || found.manifest.buildId === buildId) return found;
  throw new SandboxError('not_found', `The snapshot ${found.name} was made anew since that answer`, {
    hint: 'Give its name to start from the newer one.',
  });
}
