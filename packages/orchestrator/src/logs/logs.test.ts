import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Resident } from '../resident.ts';
import { openLogCollector } from './collect.ts';
import { appendLog, logsFolder, readLog, sweepLogs } from './files.ts';
import { LineSplitter, printable, stamp, unstamp } from './lines.ts';

async function openFolder() {
  const dataRoot = await mkdtemp(join(tmpdir(), 'logs-'));
  return {
    dataRoot,
    [Symbol.asyncDispose]: () => rm(dataRoot, { recursive: true, force: true }),
  };
}

/** A sandbox whose console says what the test writes. */
function openSandbox(sandboxId: string) {
  let console = '';
  let alive = true;
  const readConsole = async () => {
    if (!alive) throw new Error('the VMM has ended');
    const text = console;
    console = '';
    return text;
  };
  return {
    resident: { info: { sandboxId }, held: { machine: { readConsole } } } as unknown as Resident,
    print(text: string) {
      console += text;
    },
    die() {
      alive = false;
    },
  };
}

const DANGEROUS = '\0\x07\b\n\r\x1b\x7f\x84\x85\x9b\x9d\u2028\u2029\u202a\u202e\u2066\u2069';

const messages = (lines: { message: string }[]) => lines.map(({ message }) => message);

test('lines come whole, however the console was cut into pieces', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-z ]{1,20}[a-z]$/)), fc.array(fc.nat(9)), (lines, cuts) => {
      const splitter = new LineSplitter();
      let text = lines.map((line) => `${line}\r\n`).join('');
      const found: string[] = [];
      for (const cut of cuts) {
        if (text === '') break;
        found.push(...splitter.push(text.slice(0, cut + 1)));
        text = text.slice(cut + 1);
      }
      if (text !== '') found.push(...splitter.push(text));
      assert.deepEqual(found, lines);
    }),
  );
});

test('what nothing has ended is a line all the same, once nothing follows', () => {
  const splitter = new LineSplitter();
  assert.deepEqual(splitter.push('login: '), []);
  assert.deepEqual(splitter.push(''), ['login:']);
  assert.deepEqual(splitter.push(''), []);
});

test('no line is long, and none can act on a terminal or on the file', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 5000 }), (text) => {
      for (const line of printable(text)) {
        assert.ok(line.length <= 4000);
        for (const character of line) assert.ok(!DANGEROUS.includes(character), JSON.stringify(line));
        assert.equal(unstamp(stamp('info', line).slice(0, -1))?.message, line);
      }
    }),
  );
  assert.deepEqual(printable('\x1b[31mred\x1b[0m \x1b]0;title\x07\x9b2Jend'), ['red 2Jend']);
  assert.deepEqual(
    printable('x'.repeat(4500)).map(({ length }) => length),
    [2000, 2000, 500],
  );
});

test('a guest that floods its console fills two small files, and the newest is kept', async () => {
  await using folder = await openFolder();
  using collector = openLogCollector(folder.dataRoot);
  const { resident, print } = openSandbox('i1');
  collector.begin(resident);
  for (let round = 0; round < 20; round++) {
    print('a\n'.repeat(32 * 1024)); // as much as a VMM keeps
    print(`round ${round}\n`);
    await collector.read('i1', 1);
  }
  const names = await readdir(logsFolder(folder.dataRoot));
  assert.deepEqual(names.toSorted(), ['i1.log', 'i1.log.1']);
  for (const name of names) {
    const bytes = await readFile(join(logsFolder(folder.dataRoot), name));
    assert.ok(bytes.length <= 128 * 1024, `${name} has ${bytes.length} bytes`);
  }
  const kept = messages(await collector.read('i1', 10_000));
  assert.equal(kept.at(-1), 'round 19');
  assert.ok(
    kept.includes('(31769 lines left out)'),
    kept.find((line) => line.includes('left out')),
  );
});

test('the log says how a sandbox ended, and can be read after it', async () => {
  await using folder = await openFolder();
  using collector = openLogCollector(folder.dataRoot);
  const { resident, print, die } = openSandbox('i1');
  collector.begin(resident);
  print('Linux version 6\nenvd: ready\nhalf a li');
  await collector.read('i1', 10);
  die();
  await collector.end(resident, 'error', 'the sandbox ended (crashed): QEMU\nwas killed');
  const lines = await collector.read('i1', 10);
  assert.deepEqual(messages(lines), [
    'Linux version 6',
    'envd: ready',
    'half a li',
    'the sandbox ended (crashed): QEMU',
    'was killed',
  ]);
  assert.equal(lines.at(-1)?.level, 'error');
});

test('who is given an id again does not read what its former owner left', async () => {
  await using folder = await openFolder();
  using collector = openLogCollector(folder.dataRoot);
  const first = openSandbox('i1');
  collector.begin(first.resident);
  first.print('a secret\n');
  await collector.end(first.resident, 'info', 'stopped');
  await collector.clear('i1');
  const second = openSandbox('i1');
  collector.begin(second.resident);
  second.print('hello\n');
  assert.deepEqual(messages(await collector.read('i1', 10)), ['hello']);
});

test('a sandbox that nothing is known of has no lines, and an id that is none is refused', async () => {
  await using folder = await openFolder();
  using collector = openLogCollector(folder.dataRoot);
  assert.deepEqual(await collector.read('i1', 10), []);
  for (const id of ['../../etc/passwd', 'a/b', '', 'i1.log', 'I1']) {
    await assert.rejects(collector.read(id, 10), { code: 'invalid_argument' });
  }
});

test('logs are kept for a day after the end, and those of running sandboxes however old', async () => {
  await using folder = await openFolder();
  for (const id of ['old', 'new', 'running']) await appendLog(folder.dataRoot, id, stamp('info', id));
  const now = Date.now();
  const longAgo = (now - 25 * 3_600_000) / 1000;
  for (const id of ['old', 'running']) {
    await utimes(join(logsFolder(folder.dataRoot), `${id}.log`), longAgo, longAgo);
  }
  await sweepLogs(folder.dataRoot, (id) => id === 'running', now);
  assert.deepEqual((await readdir(logsFolder(folder.dataRoot))).toSorted(), ['new.log', 'running.log']);
});

test('a line that a crash of the host cut is left out', async () => {
  await using folder = await openFolder();
  await appendLog(folder.dataRoot, 'i1', `${stamp('info', 'whole')}2026-01-01T00:0`);
  assert.deepEqual(messages(await readLog(folder.dataRoot, 'i1', 10)), ['whole']);
});

test('however many read at once, the end waits for one look at a VMM that does not answer', async () => {
  await using folder = await openFolder();
  let looks = 0;
  const answer = Promise.withResolvers<string>();
  const readConsole = () => {
    looks += 1;
    return looks === 1 ? answer.promise : Promise.resolve('');
  };
  const resident = { info: { sandboxId: 'i1' }, held: { machine: { readConsole } } } as unknown as Resident;
  using logs = openLogCollector(folder.dataRoot);
  logs.begin(resident);
  const reads = Array.from({ length: 50 }, () => logs.read('i1', 10));
  const end = logs.end(resident, 'info', 'it was stopped');
  answer.resolve('hello\n');
  await Promise.all([...reads, end]);
  assert.equal(looks, 2);
  assert.deepEqual(messages(await logs.read('i1', 10)), ['hello', 'it was stopped']);
});
