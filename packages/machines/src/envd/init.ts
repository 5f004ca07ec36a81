import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Machine } from '@sandbox-backend/vmm';
import { checkEnvd, requestEnvd } from './request.ts';

export type GuestIdentity = {
  sandboxId: string;
  templateId: string;
  accessToken?: string | undefined;
  env: Record<string, string>;
  defaultUser: string;
  defaultWorkdir?: string | undefined;
};

/**
 * Gives a machine that has just been resumed its identity: token, wall-clock time, fresh entropy,
 * hostname and environment. Nothing of the user's runs before it; the sandbox is ready when it returns.
 *
 * Ready, or gone, or out of time, whichever is first; the VMM's own log is in the error.
 */
export async function initGuest(
  op: Operation,
  machine: Machine,
  address: string,
  identity: GuestIdentity,
): Promise<void> {
  await untilAnswered(op, machine, 'the guest', async (signal) => {
    const response = await requestEnvd(address, {
      method: 'POST',
      path: '/init',
      signal,
      connectTimeoutMs: 250,
      body: {
        // Read at each attempt: the clock that the guest gets is the clock of the attempt that succeeds.
        timestamp: new Date().toISOString(),
        entropy: randomBytes(64).toString('base64'),
        hostname: identity.sandboxId.slice(0, 63),
        envVars: identity.env,
        sandboxId: identity.sandboxId,
        templateId: identity.templateId,
        defaultUser: identity.defaultUser,
        ...(identity.defaultWorkdir ? { defaultWorkdir: identity.defaultWorkdir } : {}),
        ...(identity.accessToken ? { accessToken: identity.accessToken } : {}),
      },
    });
    checkEnvd(response, 'the identity of the sandbox');
  });
}

/** Waits until envd answers at all. */
export async function waitForGuest(op: Operation, machine: Machine, address: string): Promise<void> {
  await untilAnswered(op, machine, 'the guest', async (signal) => {
    checkEnvd(
      await requestEnvd(address, { method: 'GET', path: '/health', signal, connectTimeoutMs: 250 }),
      'health',
    );
  });
}

async function untilAnswered(
  op: Operation,
  machine: Machine,
  who: string,
  attempt: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const gone = new AbortController();
  let ended = false;
  void machine.exited.then((exit) => {
    if (!ended) gone.abort(exitError(exit, who));
  });
  const signal = AbortSignal.any([op.signal, gone.signal]);
  try {
    for (;;) {
      try {
        return await attempt(signal);
      } catch (caught) {
        if (gone.signal.aborted) throw gone.signal.reason;
        signal.throwIfAborted();
        if (caught instanceof SandboxError) throw caught;
        await sleep(5, undefined, { signal }); // refused or reset: the guest is not up yet
      }
    }
  } catch (caught) {
    if (gone.signal.aborted) throw gone.signal.reason;
    throw caught;
  } finally {
    ended = true;
  }
}

const exitError = (exit: Awaited<Machine['exited']>, who: string) =>
  new SandboxError('unavailable', `the virtual machine ended (${exit.reason}) before ${who} answered`, {
    ...(exit.detail ? { log: exit.detail } : {}),
  });
