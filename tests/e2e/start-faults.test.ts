import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Operation, randomId } from '@sandbox-backend/kit';
import { openHost, readHostConfig } from '@sandbox-backend/machines';
import { openNode } from '@sandbox-backend/orchestrator';
import { SandboxError } from '@sandbox-backend/protocol';
import { settled } from '../harness/leaks.ts';
import { ensureDefaultTemplate, hostEnv } from '../harness/server.ts';

// The orchestrator in this process, on the real host, so that a start can be cut off between two given steps.
test('a start that is cut off after any of its steps leaves nothing', async () => {
  ensureDefaultTemplate();
  const opening = new Operation('open the host', { timeoutMs: 120_000 });
  const config = readHostConfig({ ...process.env, ...hostEnv });
  await using host = await openHost(opening, config, { spareSlots: 2, recover: true });
  await using node = await openNode(opening, host, {
    warmPool: { machinesPerBuild: 0, builds: 0, refillDelayMs: 1000 },
    warmTemplates: [],
  });
  await using held = new AsyncDisposableStack();
  held.defer(() => node.stopAll());
  const start = async (cutAfter?: number) => {
    const cut = new AbortController();
    const op = new Operation('start', {
      timeoutMs: 60_000,
      signal: cut.signal,
      onPhase: () => {
        if (op.phases.length === cutAfter) cut.abort(new SandboxError('canceled', 'cut off by the test'));
      },
    });
    const sandboxId = randomId('i');
    const request = { sandboxId, template: 'default-sandbox', env: {}, allowInternet: false };
    const started = node.start(op, request);
    await started.catch(() => {});
    return { started, sandboxId, steps: op.phases.map(({ name }) => name) };
  };

  const whole = await start();
  await whole.started;
  for (const step of ['slot', 'disk', 'room', 'vmm load', 'egress', 'record', 'resume', 'guest']) {
    assert.ok(whole.steps.includes(step), `${step} is a step: ${whole.steps}`);
  }
  await node.stop(new Operation('stop', { timeoutMs: 60_000 }), whole.sandboxId);
  const before = await settled();

  for (let done = 1; done < whole.steps.length; done++) {
    const { started, steps } = await start(done);
    await assert.rejects(started, { code: 'canceled' }, `cut off after ${steps[done - 1]}`);
    assert.deepEqual(await settled(), before, `after ${steps[done - 1]}`);
  }
  assert.equal(node.list().length, 0);
});
