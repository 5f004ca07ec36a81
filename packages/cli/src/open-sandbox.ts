import type { Envd } from '@sandbox-backend/sdk';
import type { Command } from 'commander';
import { connect } from './connect.ts';
import { resolveSandboxId } from './resolve-id.ts';

/** envd of the sandbox that a command names; a paused one is woken first. */
export async function openSandbox(command: Command, idOrPrefix: string): Promise<Envd> {
  const { control, envd } = await connect(command);
  const id = await resolveSandboxId(control, idOrPrefix);
  const info = await control.getSandbox(id);
  if (info.state === 'paused') await control.connectSandbox(id);
  return envd(id, info.envdAccessToken);
}
