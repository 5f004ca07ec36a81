import { Agent, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { type Operation, race } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { connectWhenReady } from './connect.ts';

/** What an error answer says, in the VMM's own words. */
export type ExplainError = (body: string) => string;

/** The longest answer that is read: a VMM is driven by a hostile guest, and may say anything. */
const MAX_ANSWER = 4 * 1024 * 1024;

/**
 * The HTTP API of a VMM on a UNIX socket, one request at a time. One more connection only watches:
 * `closed` settles when the VMM closes it, with which most often its process ends.
 */
export class ApiClient implements Disposable {
  readonly closed: Promise<void>;
  private readonly path: string;
  private readonly watch: Socket;
  private readonly explain: ExplainError;
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });

  private constructor(path: string, watch: Socket, explain: ExplainError) {
    this.path = path;
    this.watch = watch;
    this.explain = explain;
    watch.on('error', () => {}); // 'close' follows
    watch.resume();
    this.closed = new Promise((resolve) => watch.once('close', () => resolve()));
    void this.closed.then(() => this.agent.destroy());
  }

  static async open(
    op: Operation,
    path: string,
    alive: () => Promise<boolean>,
    explain: ExplainError,
  ): Promise<ApiClient> {
    return new ApiClient(path, await connectWhenReady(op, path, alive), explain);
  }

  get isClosed(): boolean {
    return this.watch.destroyed;
  }

  /**
   * One request, for which the caller waits no longer than the operation lasts: the VMM may then still carry it out.
   * Answers the JSON of a 200, undefined for a 204.
   * Errors: `unavailable` when the VMM is gone, `internal` with its words when it refuses.
   */
  async send(op: Operation, method: 'GET' | 'PUT' | 'PATCH', url: string, body?: unknown): Promise<unknown> {
    const what = `${method} ${url}`;
    if (this.isClosed) throw new SandboxError('unavailable', `the VMM is gone; ${what} was not sent`);
    const { status, text } = await race(op, what, this.exchange(op.signal, method, url, body));
    if (status === 204) return undefined;
    if (status !== 200) {
      throw new SandboxError('internal', `the VMM refused ${what}: ${this.explain(text) || status}`);
    }
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new SandboxError('internal', `the VMM answered ${what} with what is not JSON`, { cause });
    }
  }

  /** With a length, never in chunks: the HTTP servers of these VMMs know nothing else. */
  private exchange(signal: AbortSignal, method: string, path: string, body: unknown) {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = text
      ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
      : {};
    const answer = Promise.withResolvers<{ status: number; text: string }>();
    const gone = (cause?: unknown) =>
      answer.reject(new SandboxError('unavailable', `the VMM was gone during ${method} ${path}`, { cause }));
    const { agent } = this;
    const outgoing = request(
      { socketPath: this.path, method, path, headers, agent, signal, host: 'localhost' },
      (incoming) =>
        readAnswer(incoming).then(
          (read) => answer.resolve({ status: incoming.statusCode ?? 0, text: read }),
          (caught) => (caught instanceof SandboxError ? answer.reject(caught) : gone(caught)),
        ),
    );
    outgoing.once('error', gone);
    outgoing.end(text);
    return answer.promise;
  }

  [Symbol.dispose](): void {
    this.watch.destroy();
  }
}

async function readAnswer(incoming: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of incoming.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_ANSWER) {
      incoming.destroy();
      throw new SandboxError('internal', 'the VMM sent an answer without end');
    }
  }
  return text;
}
