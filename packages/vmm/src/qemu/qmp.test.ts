import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { Operation } from '@sandbox-backend/kit';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { Qmp, type QmpEvent } from './qmp.ts';

type Command = { execute: string; id: number; arguments?: Record<string, unknown> };
type Script = (command: Command, say: (text: string) => void, socket: Socket) => void;

const operation = (timeoutMs = 60_000) => new Operation('test', { timeoutMs });
const alive = async () => true;
const line = (value: unknown) => `${JSON.stringify(value)}\n`;
const GREETING = line({ QMP: { version: {}, capabilities: [] } });

/** A fake of QEMU's side; it agrees to `qmp_capabilities`, and the script answers the rest. */
async function fakeQemu(script: Script, greeting: string | undefined = GREETING) {
  await using held = new AsyncDisposableStack();
  const folder = held.use(await temporaryFolder());
  const sockets = new Set<Socket>();
  const commands: Command[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const say = (text: string) => void socket.write(text);
    if (greeting) say(greeting);
    let buffered = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (buffered + text).split('\n');
      buffered = lines.pop() ?? '';
      for (const command of lines.map((text): Command => JSON.parse(text))) {
        commands.push(command);
        if (command.execute === 'qmp_capabilities') say(line({ return: {}, id: command.id }));
        else script(command, say, socket);
      }
    });
  });
  const path = join(folder.path, 'qmp.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  held.defer(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const owned = held.move();
  return { path, commands, sockets, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('a command is sent with its arguments and answered by its id, in any order', async () => {
  const answers: (() => void)[] = [];
  await using qemu = await fakeQemu((command, say) => {
    answers.unshift(() => say(line({ return: command.execute, id: command.id })));
    if (answers.length === 2) for (const answer of answers) answer();
  });
  using qmp = await Qmp.open(operation(), qemu.path, alive);
  const both = [qmp.execute(operation(), 'first', { a: [1] }), qmp.execute(operation(), 'second')];
  assert.deepEqual(await Promise.all(both), ['first', 'second']);
  assert.deepEqual(
    qemu.commands.map(({ execute, arguments: args }) => ({ execute, args })),
    [
      { execute: 'qmp_capabilities', args: undefined },
      { execute: 'first', args: { a: [1] } },
      { execute: 'second', args: undefined },
    ],
  );
});

test('lines in pieces, several at once, and events in between', async () => {
  await using qemu = await fakeQemu((command, say, socket) => {
    const answer = Buffer.from(line({ return: 'grüße', id: command.id }));
    const half = answer.indexOf(0xc3) + 1; // in the middle of a character
    say(line({ event: 'STOP', timestamp: {} }));
    socket.write(answer.subarray(0, half));
    const event = Buffer.from(line({ event: 'RESUME', data: { x: 1 } }));
    setTimeout(() => socket.write(Buffer.concat([answer.subarray(half), event])), 5);
  });
  using qmp = await Qmp.open(operation(), qemu.path, alive);
  const events: QmpEvent[] = [];
  qmp.onEvent((event) => events.push(event));
  assert.equal(await qmp.execute(operation(), 'hello'), 'grüße');
  await qmp.execute(operation(), 'hello'); // what came with the first answer has been read by now
  assert.deepEqual(events.slice(0, 2), [
    { event: 'STOP', data: {} },
    { event: 'RESUME', data: { x: 1 } },
  ]);
});

test('a refusal is an error with the command and the reason, and the connection goes on', async () => {
  await using qemu = await fakeQemu((command, say) =>
    say(
      line(
        command.execute === 'bad'
          ? { error: { class: 'GenericError', desc: 'no such thing' }, id: command.id }
          : { return: 1, id: command.id },
      ),
    ),
  );
  using qmp = await Qmp.open(operation(), qemu.path, alive);
  await assert.rejects(qmp.execute(operation(), 'bad'), {
    code: 'internal',
    message: 'QEMU refused bad: no such thing',
  });
  assert.equal(await qmp.execute(operation(), 'good'), 1);
});

const HOSTILE: Record<string, string> = {
  'text that is not JSON': 'hello\n',
  'half an object': '{"return": \n',
  null: 'null\n',
  'a number': '7\n',
  'a list': '[]\n',
  'a line of 5 MB': `${'x'.repeat(5 * 1024 * 1024)}\n`,
  'a line without end': '{"return": "'.padEnd(5 * 1024 * 1024, 'x'),
};
for (const [what, text] of Object.entries(HOSTILE)) {
  test(`${what} ends the connection, and the command that waits fails`, async () => {
    await using qemu = await fakeQemu((_command, say) => say(text));
    using qmp = await Qmp.open(operation(), qemu.path, alive);
    await assert.rejects(qmp.execute(operation(), 'hello'), {
      code: 'unavailable',
      message: /^the VMM sent .* during hello$/,
    });
    await qmp.closed;
    await assert.rejects(qmp.execute(operation(), 'again'), { code: 'unavailable' });
  });
}

test('objects of an unexpected shape are survived', async () => {
  await using qemu = await fakeQemu((command, say) => {
    for (const message of [
      {},
      { event: 7 },
      { event: 'SHUTDOWN', data: null },
      { event: 'SHUTDOWN', data: 'text' },
      { id: 'x', return: {} },
      { id: 10_000, return: {} },
      { id: { toString: 1 }, error: null },
    ]) {
      say(line(message));
    }
    say(
      line(
        command.execute === 'bad' ? { id: command.id, error: { desc: { toString: 1 } } } : { id: command.id },
      ),
    );
  });
  using qmp = await Qmp.open(operation(), qemu.path, alive);
  const events: QmpEvent[] = [];
  qmp.onEvent((event) => events.push(event));
  assert.equal(await qmp.execute(operation(), 'hello'), undefined);
  await assert.rejects(qmp.execute(operation(), 'bad'), { message: 'QEMU refused bad: no reason given' });
  assert.deepEqual(events[0], { event: 'SHUTDOWN', data: {} });
});

test('a VMM that closes in the middle of a command fails it, and `closed` settles', async () => {
  await using qemu = await fakeQemu((_command, say, socket) => {
    say('{"return": {}, "i');
    socket.end();
  });
  using qmp = await Qmp.open(operation(), qemu.path, alive);
  await assert.rejects(qmp.execute(operation(), 'cont'), {
    code: 'unavailable',
    message: 'the VMM closed its control socket during cont',
  });
  await qmp.closed;
  assert.equal(qmp.isClosed, true);
});

test('a VMM that does not answer costs no more than the deadline; a late answer is dropped', async () => {
  const late: (() => void)[] = [];
  await using qemu = await fakeQemu((command, say) => {
    if (command.execute === 'slow') late.push(() => say(line({ return: 'late', id: command.id })));
    else say(line({ return: 'prompt', id: command.id }));
  });
  using qmp = await Qmp.open(operation(), qemu.path, alive);
  await assert.rejects(qmp.execute(operation(50), 'slow'), {
    code: 'deadline_exceeded',
    message: 'test ran out of time in slow',
  });
  for (const answer of late) answer();
  assert.equal(await qmp.execute(operation(), 'next'), 'prompt');
});

test('a VMM that accepts and never greets is given up at the deadline', async () => {
  await using qemu = await fakeQemu(() => {}, '');
  await assert.rejects(Qmp.open(operation(50), qemu.path, alive), {
    code: 'deadline_exceeded',
    message: 'test ran out of time in vmm greeting',
  });
  await Promise.all(
    [...qemu.sockets].map((socket) => new Promise((resolve) => socket.resume().once('close', resolve))),
  );
});

test('without a socket: the end of the VMM is noticed, and so is the deadline', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'none.sock');
  await assert.rejects(
    Qmp.open(operation(), path, async () => false),
    {
      code: 'unavailable',
      message: 'the VMM exited before it opened its control socket',
    },
  );
  await assert.rejects(Qmp.open(operation(50), path, alive), { code: 'deadline_exceeded' });
});

test('disposing fails what waits', async () => {
  await using qemu = await fakeQemu(() => {});
  const qmp = await Qmp.open(operation(), qemu.path, alive);
  const waiting = assert.rejects(qmp.execute(operation(), 'hello'), { code: 'unavailable' });
  qmp[Symbol.dispose]();
  await waiting;
});
