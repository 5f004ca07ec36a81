import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';

/** One answer of a Jupyter kernel to a cell. */
type Answer = { type: string; content: Record<string, unknown> };

export type Cell = {
  answers: Answer[];
  stdout: string;
  stderr: string;
  /** The value of the last expression, as Python shows it. */
  text: string | undefined;
  error: { name: string; value: string; traceback: string } | undefined;
  /** Base64, in the order of their display. */
  pngs: string[];
  count: number | undefined;
};

export type CellOptions = { onAnswer?: (answer: Answer) => void };

/**
 * Runs one cell in a kernel over its WebSocket, as the seed's SDK does: a connection of its own, no session id,
 * messages of version 5.3 in JSON. Done when the kernel has replied and is idle.
 */
export async function runCell(
  channels: { url: string; headers: Record<string, string> },
  code: string,
  { onAnswer }: CellOptions = {},
): Promise<Cell> {
  const socket = new WebSocket(channels.url, { headers: channels.headers, maxPayload: 64 * 1024 ** 2 });
  await once(socket, 'open');
  try {
    const id = randomUUID();
    const answers = collect(socket, id, onAnswer);
    socket.send(JSON.stringify(executeRequest(id, code)));
    return summarize(await answers);
  } finally {
    socket.terminate();
  }
}

function executeRequest(id: string, code: string) {
  return {
    header: { msg_id: id, msg_type: 'execute_request', session: randomUUID(), username: '', version: '5.3' },
    parent_header: {},
    metadata: {},
    content: { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: false },
    channel: 'shell',
    buffers: [],
  };
}

function collect(
  socket: WebSocket,
  id: string,
  onAnswer: (answer: Answer) => void = () => {},
): Promise<Answer[]> {
  return new Promise((resolve, reject) => {
    const answers: Answer[] = [];
    socket.on('error', reject);
    socket.on('close', (code) => reject(new Error(`the kernel's WebSocket was closed with ${code}`)));
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as {
        msg_type: string;
        parent_header: { msg_id?: string };
        content: Record<string, unknown>;
      };
      if (message.parent_header.msg_id !== id) return;
      const answer = { type: message.msg_type, content: message.content };
      answers.push(answer);
      onAnswer(answer);
      const replied = answers.some(({ type }) => type === 'execute_reply');
      if (replied && answers.some(({ content }) => content.execution_state === 'idle')) resolve(answers);
    });
  });
}

function summarize(answers: Answer[]): Cell {
  const of = (type: string) => answers.filter((answer) => answer.type === type).map(({ content }) => content);
  const stream = (name: string) =>
    of('stream')
      .filter((content) => content.name === name)
      .map((content) => content.text)
      .join('');
  const data = (content: Record<string, unknown>) => content.data as Record<string, string>;
  const [result] = of('execute_result');
  const [error] = of('error');
  return {
    answers,
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    text: result ? data(result)['text/plain'] : undefined,
    error: error && {
      name: String(error.ename),
      value: String(error.evalue),
      traceback: (error.traceback as string[]).join('\n'),
    },
    pngs: [...of('display_data'), ...of('execute_result')]
      .map((content) => data(content)['image/png'])
      .filter((png) => png !== undefined),
    count: of('execute_reply')[0]?.execution_count as number | undefined,
  };
}
