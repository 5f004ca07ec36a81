import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, copyFile, mkdtemp, mkdtempDisposable, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { after, before } from 'node:test';
import fc from 'fast-check';
import { sftpProgram } from '../sftp-program.ts';

const packageName = process.arch === 'arm64' ? '@oven/bun-linux-aarch64' : '@oven/bun-linux-x64-baseline';
const installed = join(
  dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)),
  'bin',
  'bun',
);
/** A copy: the checkout may be in a folder that nobody may enter but root. */
let bun: string;
before(async () => {
  bun = join(await mkdtemp(join(tmpdir(), 'bun-')), 'bun');
  await copyFile(installed, bun);
  await chmod(dirname(bun), 0o755);
});
after(() => rm(dirname(bun), { recursive: true }));
const source = sftpProgram().args!.at(-1)!;

type Answer = { type: number; id: number; body: Buffer };

/** The program as it runs in a guest, without the guest. */
async function startServer() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'sftp-server-'));
  await chmod(folder.path, 0o777);
  // It is asked for anything at all: not as somebody who may do anything.
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const child = spawn(bun, ['-e', source], {
    stdio: 'pipe',
    cwd: '/',
    env: { HOME: folder.path },
    ...nobody,
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  child.stdin.on('error', () => {});
  let rest = Buffer.alloc(0);
  let told = '';
  child.stderr.on('data', (chunk) => {
    told += chunk;
  });
  const answers: Answer[] = [];
  let wake = () => {};
  child.stdout.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const packet = rest.subarray(4, 4 + rest.readUInt32BE(0));
      rest = rest.subarray(4 + packet.length);
      answers.push({ type: packet[0]!, id: packet.readUInt32BE(1), body: packet.subarray(5) });
    }
    wake();
  });
  const send = (packet: Buffer) => child.stdin.write(Buffer.concat([number(packet.length), packet]));
  return {
    folder: folder.path,
    send,
    ended,
    told: () => told,
    end: () => child.stdin.end(),
    /** Sends requests, all at once, and resolves with the answers. */
    async ask(...packets: Buffer[]): Promise<Answer[]> {
      for (const packet of packets) send(packet);
      while (answers.length < packets.length) {
        await new Promise<void>((resolve, reject) => {
          wake = resolve;
          void ended.then((status) => reject(new Error(`it ended with ${status}: ${told}`)));
        });
      }
      return answers.splice(0, packets.length);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

const number = (value: number) => {
  const field = Buffer.alloc(4);
  field.writeUInt32BE(value);
  return field;
};
const string = (text: string | Buffer) =>
  Buffer.concat([number(Buffer.from(text).length), Buffer.from(text)]);
const request = (type: number, id: number, ...fields: Buffer[]) =>
  Buffer.concat([Buffer.from([type]), number(id), ...fields]);
const INIT = request(1, 3);
const [STATUS, HANDLE, NAME] = [101, 102, 104];
const status = ({ type, body }: Answer) => (type === STATUS ? body.readUInt32BE(0) : undefined);

test('it says what it can, and answers each request by its number', async () => {
  await using server = await startServer();
  const [version] = await server.ask(INIT);
  assert.deepEqual([version!.type, version!.id], [2, 3]);
  assert.match(version!.body.toString('latin1'), /posix-rename@openssh\.com.*limits@openssh\.com/s);
  await writeFile(join(server.folder, 'there'), 'text');
  const [real, missing, unknown, cut] = await server.ask(
    request(16, 7, string('there')),
    request(17, 8, string('not there')),
    request(99, 9),
    request(3, 10, string('x').subarray(0, 3)),
  );
  assert.equal(real!.type, NAME);
  assert.match(real!.body.toString(), new RegExp(`${server.folder}/there`));
  assert.deepEqual([missing!.id, status(missing!)], [8, 2]);
  assert.deepEqual([unknown!.id, status(unknown!)], [9, 8]);
  assert.deepEqual([cut!.id, status(cut!)], [10, 5]);
});

test('names need not be text, and handles are bounded', async () => {
  await using server = await startServer();
  await server.ask(INIT);
  const name = Buffer.from([0x61, 0xff, 0xfe, 0x20]);
  const [opened] = await server.ask(request(3, 1, string(name), number(2 | 8), number(0)));
  assert.equal(opened!.type, HANDLE);
  const [folder] = await server.ask(request(11, 2, string('.')));
  const [listed] = await server.ask(request(12, 3, folder!.body));
  assert.ok(listed!.body.includes(string(name)));
  const many = await server.ask(
    ...Array.from({ length: 300 }, (_, id) => request(3, id, string('f'), number(1 | 8 | 2), number(0))),
  );
  assert.equal(many.filter(({ type }) => type === HANDLE).length, 254);
  assert.equal(status(many.at(-1)!), 4);
});

test('whatever is asked is answered once, in order', async () => {
  await using server = await startServer();
  await server.ask(INIT);
  const field = fc.oneof(
    fc.string({ maxLength: 20 }).map((text) => string(text.replaceAll('/', '_'))),
    fc.nat({ max: 0xffffffff }).map(number),
    fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
  );
  // All that the protocol has but reading and truncating by absurd sizes, which only fills the disk.
  const type = fc.constantFrom(3, 4, 7, 8, 11, 12, 16, 17, 18, 19, 20, 99, 200, 255);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(type, fc.array(field, { maxLength: 4 })), { minLength: 1, maxLength: 20 }),
      async (asked) => {
        const packets = asked.map(([kind, fields], id) => request(kind, id, ...fields));
        const answers = await server.ask(...packets);
        assert.deepEqual(
          answers.map(({ id }) => id),
          packets.map((_, id) => id),
        );
      },
    ),
    { numRuns: 60 },
  );
});

test('what is not the protocol ends it, and so does the end of input', async () => {
  await using broken = await startServer();
  broken.send(INIT);
  broken.send(Buffer.alloc(300_000));
  assert.equal(await broken.ended, 1);
  assert.match(broken.told(), /not the file transfer protocol/);
  await using done = await startServer();
  await done.ask(INIT);
  done.end();
  assert.equal(await done.ended, 0);
});
