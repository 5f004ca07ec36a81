import { request as httpRequest, type IncomingMessage } from 'node:http';

export type Envelope = { flags: number; message: Message };
/** As loose as JSON is: tests look into it. */
// biome-ignore lint/suspicious/noExplicitAny: what a server answered is looked at field by field
export type Message = any;

export type CallOptions = { user?: string; headers?: Record<string, string> };

const basic = (user: string | undefined): Record<string, string> =>
  user === undefined ? {} : { authorization: `Basic ${Buffer.from(`${user}:`).toString('base64')}` };

/** A call with one answer: status and body. */
export async function unary(url: string, method: string, message: unknown, options: CallOptions = {}) {
  const response = await fetch(`${url}/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...basic(options.user), ...options.headers },
    body: JSON.stringify(message),
  });
  return { status: response.status, body: (await response.json()) as Message };
}

export function envelope(message: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(json.length, 1);
  return Buffer.concat([head, json]);
}

export type Stream = AsyncDisposable & {
  response: IncomingMessage;
  next(): Promise<Envelope | undefined>;
  rest(): Promise<Envelope[]>;
};

/** A call with many answers, read one by one; it is broken off when it goes out of scope. */
export async function stream(
  url: string,
  method: string,
  message: unknown,
  options: CallOptions = {},
): Promise<Stream> {
  const request = httpRequest(`${url}/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/connect+json', ...basic(options.user), ...options.headers },
    agent: false,
  });
  request.end(envelope(message));
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
  request.on('error', () => {});
  const chunks = response[Symbol.asyncIterator]();
  let bytes = Buffer.alloc(0);
  const next = async (): Promise<Envelope | undefined> => {
    while (bytes.length < 5 || bytes.length < 5 + bytes.readUInt32BE(1)) {
      const { done, value } = await chunks.next();
      if (done) return undefined;
      bytes = Buffer.concat([bytes, value]);
    }
    const end = 5 + bytes.readUInt32BE(1);
    const parsed = { flags: bytes[0]!, message: JSON.parse(bytes.toString('utf8', 5, end)) };
    bytes = bytes.subarray(end);
    return parsed;
  };
  const rest = async () => {
    const all: Envelope[] = [];
    for (let one = await next(); one; one = await next()) all.push(one);
    return all;
  };
  return {
    response,
    next,
    rest,
    async [Symbol.asyncDispose]() {
      request.destroy();
    },
  };
}

export type Ran = {
  pid: number;
  stdout: string;
  stderr: string;
  end: Message;
  error: Message;
};

/** Runs a shell line to its end. */
export async function run(
  url: string,
  line: string,
  options: CallOptions & { start?: Record<string, unknown>; process?: Record<string, unknown> } = {},
): Promise<Ran> {
  await using calls = await stream(
    url,
    'process.Process/Start',
    {
      process: { cmd: '/bin/bash', args: ['-c', line], ...options.process },
      stdin: false,
      ...options.start,
    },
    options,
  );
  return collect(await calls.rest());
}

export function collect(envelopes: readonly Envelope[]): Ran {
  const ran: Ran = { pid: 0, stdout: '', stderr: '', end: undefined, error: undefined };
  for (const { flags, message } of envelopes) {
    const event = message.event ?? {};
    if (flags & 2) ran.error = message.error;
    if (event.start) ran.pid = event.start.pid;
    if (event.data?.stdout) ran.stdout += Buffer.from(event.data.stdout, 'base64');
    if (event.data?.pty) ran.stdout += Buffer.from(event.data.pty, 'base64');
    if (event.data?.stderr) ran.stderr += Buffer.from(event.data.stderr, 'base64');
    if (event.end) ran.end = event.end;
  }
  return ran;
}

/** Waits for something that will happen; fails loudly when it does not. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`it did not happen within 20 s: ${what}`);
}
