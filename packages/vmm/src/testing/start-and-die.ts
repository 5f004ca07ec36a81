/**
 * A server that starts a machine and is killed: restores one, says on standard output how to find it, and
 * ends itself as hard as it can be ended.
 */
import { writeSync } from 'node:fs';
import { Operation } from '@sandbox-backend/kit';
import type { RestoreSpec } from '../vmm.ts';
import type { OpenVmm } from './harness.ts';
import { plainRoom } from './plain-room.ts';

export type StartAndDie = {
  module: string;
  directory: string;
  wrapper: readonly string[];
  spec: RestoreSpec;
};

const request: StartAndDie = JSON.parse(process.argv[2] ?? '');
const { openVmm }: { openVmm: OpenVmm } = await import(request.module);
const vmm = await openVmm();
const op = new Operation('start and die', { timeoutMs: 120_000 });
const room = plainRoom(request.directory, { wrapper: request.wrapper });
const machine = await vmm.restore(op, request.spec, room);
await machine.resume(op);
writeSync(1, JSON.stringify(machine.ref));
process.kill(process.pid, 'SIGKILL');
