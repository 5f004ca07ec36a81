import { z } from 'zod';
import type { SshKeyRow } from '../../db/ssh-keys.ts';
import { addSshKey, listSshKeys, removeSshKey, type SshKeyDeps } from '../../ssh/keys.ts';
import { createSshToken, type SshTokenDeps } from '../../ssh/tokens.ts';
import { readBody } from './body.ts';
import type { Routes } from './routes.ts';
import { readSandboxId } from './sandbox-id.ts';

/** Where the SSH door is, and the key by which it is known, as in a known_hosts file. */
export type SshDoor = { host: string; port: number; hostKey: string };

const newKey = z.object({ name: z.string().max(100).nullish(), publicKey: z.string() });
const newToken = z.object({ ttlSeconds: z.number().nullish() });

const keyJson = ({ id, name, publicKey, fingerprint, createdAt }: SshKeyRow) => ({
  id,
  name,
  publicKey,
  fingerprint,
  createdAt: new Date(createdAt).toISOString(),
});

export function sshRoutes(
  { on }: Routes,
  deps: SshKeyDeps & SshTokenDeps,
  door: () => SshDoor | undefined,
): void {
  on('GET', '/ssh/keys', (c, team) => c.json(listSshKeys(deps, team.id).map(keyJson)));
  on('POST', '/ssh/keys', async (c, team) => {
    const { name, publicKey } = await readBody(c.req.raw, newKey);
    return c.json(keyJson(addSshKey(deps, team.id, { name: name ?? undefined, publicKey })), 201);
  });
  on('DELETE', '/ssh/keys/:id', (c, team) => {
    removeSshKey(deps, team.id, c.req.param('id') ?? '');
    return c.body(null, 204);
  });
  on('GET', '/ssh/door', (c) => c.json(door() ?? null));
  on('POST', '/sandboxes/:id/ssh-token', async (c, team) => {
    const { ttlSeconds } = await readBody(c.req.raw, newToken);
    const sandboxId = readSandboxId(c.req.param('id') ?? '');
    const { token, expiresAt } = createSshToken(deps, team.id, sandboxId, ttlSeconds ?? undefined);
    return c.json({ token, expiresAt: new Date(expiresAt).toISOString() }, 201);
  });
}
