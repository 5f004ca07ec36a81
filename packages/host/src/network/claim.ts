import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, processStartTime, writeFileAtomic } from '@sandbox-backend/kit';
import type { SlotRef } from '../host.ts';

/** Who holds a slot: one file for each, `<stateDir>/slots/<index>.json`. It exists as long as anything of the slot may. */
export type Claim = { pid: number; pidStartTime: string; ref: SlotRef };

export const claimsDirectory = (stateDir: string) => join(stateDir, 'slots');
const claimFile = (stateDir: string, index: number) => join(claimsDirectory(stateDir), `${index}.json`);

/** Takes a slot for this process; false when another has it. The file appears whole or not at all. */
export async function claimSlot(stateDir: string, ref: SlotRef): Promise<boolean> {
  const aside = join(claimsDirectory(stateDir), `.${randomUUID()}`);
  await mkdir(claimsDirectory(stateDir), { recursive: true, mode: 0o700 });
  try {
    await writeFile(aside, await ownClaim(ref), { mode: 0o600 });
    await link(aside, claimFile(stateDir, ref.index));
    return true;
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw caught;
  } finally {
    await rm(aside, { force: true });
  }
}

/** Makes this process the holder of a slot whose holder is gone. */
export async function takeOverSlot(stateDir: string, ref: SlotRef): Promise<void> {
  await mkdir(claimsDirectory(stateDir), { recursive: true, mode: 0o700 });
  await writeFileAtomic(claimFile(stateDir, ref.index), await ownClaim(ref), { mode: 0o600 });
}

export const releaseClaim = (stateDir: string, index: number) =>
  rm(claimFile(stateDir, index), { force: true });

/** Every slot that has a claim, by index; the claim is undefined when its file is damaged. */
export async function readClaims(stateDir: string): Promise<Map<number, Claim | undefined>> {
  const names = await readdir(claimsDirectory(stateDir)).catch(() => []);
  const claims = new Map<number, Claim | undefined>();
  for (const name of names) {
    const index = /^(\d{1,7})\.json$/.exec(name)?.[1];
    if (index) claims.set(Number(index), await readClaim(stateDir, Number(index)));
  }
  return claims;
}

export async function readClaim(stateDir: string, index: number): Promise<Claim | undefined> {
  try {
    return JSON.parse(await readFile(claimFile(stateDir, index), 'utf8')) as Claim;
  } catch {
    return undefined;
  }
}

export const isHeld = async (claim: Claim | undefined) =>
  claim !== undefined && (await isAlive({ pid: claim.pid, startTime: claim.pidStartTime }));

async function ownClaim(ref: SlotRef): Promise<string> {
  const pidStartTime = (await processStartTime(process.pid)) ?? '';
  return JSON.stringify({ pid: process.pid, pidStartTime, ref } satisfies Claim);
}
