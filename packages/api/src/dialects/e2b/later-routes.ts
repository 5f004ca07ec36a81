import { SandboxError } from '@sandbox-backend/protocol';
import type { Routes } from './routes.ts';

/** Verbs of the protocol that this server does not have yet: said so, and not 404, which means something else. */
const LATER = [
  ['POST', '/sandboxes/:id/pause', 'Pausing a sandbox'],
  ['POST', '/sandboxes/:id/resume', 'Resuming a sandbox'],
  ['POST', '/sandboxes/:id/fork', 'Forking a sandbox'],
  ['PUT', '/sandboxes/:id/network', 'Changing the network rules of a running sandbox'],
  ['GET', '/volumes', 'Volumes'],
  ['POST', '/volumes', 'Volumes'],
  ['GET', '/volumes/:id', 'Volumes'],
  ['DELETE', '/volumes/:id', 'Volumes'],
  ['GET', '/secrets', 'Secrets'],
  ['POST', '/secrets', 'Secrets'],
  ['POST', '/v3/templates', 'Building a template over the API'],
  ['POST', '/v2/templates', 'Building a template over the API'],
  ['POST', '/templates', 'Building a template over the API'],
  ['POST', '/templates/:id', 'Building a template over the API'],
  ['GET', '/templates/:id/files/:hash', 'Building a template over the API'],
  ['POST', '/v2/templates/:id/builds/:build', 'Building a template over the API'],
  ['GET', '/templates/:id/builds/:build/status', 'Building a template over the API'],
  ['GET', '/templates/:id/builds/:build/logs', 'Building a template over the API'],
  ['PATCH', '/v2/templates/:id', 'Publishing a template'],
  ['PATCH', '/templates/:id', 'Publishing a template'],
  ['POST', '/templates/tags', 'Tagging a template'],
  ['DELETE', '/templates/tags', 'Tagging a template'],
  ['GET', '/templates/:id/tags', 'Tagging a template'],
] as const;

export function laterRoutes({ on }: Routes): void {
  for (const [method, path, what] of LATER) {
    on(method, path, () => {
      throw new SandboxError('unimplemented', `${what} is not supported by this server yet`, {
        hint: what.includes('template')
          ? 'Build templates with the `template-manager` command on the server.'
          : '',
      });
    });
  }
}
