import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { KeyRow, KeyRows } from '../db/keys.ts';

const KEY = /^e2b_[0-9a-f]{40}$/;

export const isApiKey = (text: string) => KEY.test(text);
export const newApiKey = () => `e2b_${randomBytes(20).toString('hex')}`;
/** No salt: a key is 160 random bits, which no table covers. */
export const hashKey = (key: string): Buffer => createHash('sha256').update(key).digest();

export type KeyDeps = { keys: Pick<KeyRows, 'insert' | 'list' | 'revoke'>; now(): number };

/** Makes a key for the team. It is readable in this answer and never again. */
export function createKey(deps: KeyDeps, teamId: string, name: string): { id: string; key: string } {
  const key = newApiKey();
  return { id: registerKey(deps, teamId, name, key), key };
}

export function registerKey(deps: KeyDeps, teamId: string, name: string, key: string): string {
  const id = randomUUID();
  const mask = `${key.slice(0, 8)}…${key.slice(-4)}`;
  deps.keys.insert({ id, teamId, name, mask, createdAt: deps.now(), sha256: hashKey(key) });
  return id;
}

export const listKeys = (deps: KeyDeps, teamId: string): KeyRow[] => deps.keys.list(teamId);

/** The key stops working with this call; false when the team has no such key in force. */
export const revokeKey = (deps: KeyDeps, teamId: string, id: string): boolean =>
  deps.keys.revoke(teamId, id, deps.now());
