import { StringDecoder } from 'node:string_decoder';
import { resizeTerminal, sendSignal } from '@sandbox-backend/sdk';
import type { ProgramSpec } from '../programs/table.ts';
import { failed } from '../rpc/errors.ts';
import { method, NOTHING, service, stream } from '../rpc/service.ts';
import { folderOf, USER } from './guest.ts';
import { checkId, kill, LATE_DELAY_MS, startReason } from './process.ts';

const listenTo = (topic: string) =>
  stream(['string'], async (sandbox, subscription, id) => {
    sandbox.terminals.subscribe(id, topic, subscription);
    return sandbox.terminals.has(id) ? LATE_DELAY_MS : 0;
  });

const notFound = (id: string) => failed(`error finding terminal '${id}'`);

export const terminal = service(
  {
    start: method(
      ['string', 'size', 'size', 'environment?', 'string?', 'string?'],
      async (sandbox, id, cols, rows, env = {}, line, cwd) => {
        try {
          checkId(id);
          await sandbox.terminals.start(id, specOf({ cols, rows }, env, line, cwd));
        } catch (caught) {
          throw failed(`error starting new terminal '${id}': fork/exec /bin/bash: ${startReason(caught)}`);
        }
        return JSON.stringify(id);
      },
    ),
    data: method(['string', 'string'], async (sandbox, id, data) => {
      if (!(await sandbox.terminals.send(id, 'pty', data))) throw notFound(id);
      return NOTHING;
    }),
    resize: method(['string', 'size', 'size'], async ({ terminals, endpoint, signal }, id, cols, rows) => {
      if (!terminals.has(id)) throw notFound(id);
      await terminals.act(id, (pid) => resizeTerminal(endpoint, pid, { cols, rows }, { signal }));
      return NOTHING;
    }),
    destroy: method(['string'], async ({ terminals, endpoint, signal }, id) => {
      await terminals.act(id, (pid) => kill(() => sendSignal(endpoint, pid, 'SIGKILL', { signal })));
      return NOTHING;
    }),
  },
  { onData: listenTo('onData'), onExit: listenTo('onExit') },
);

function specOf(
  size: { cols: number; rows: number },
  env: Record<string, string>,
  line: string | undefined,
  cwd: string | undefined,
): ProgramSpec {
  const decoder = new StringDecoder('utf8');
  const note = (text: string) => (text ? [{ topic: 'onData', result: JSON.stringify(text) }] : []);
  return {
    process: {
      command: '/bin/bash',
      args: ['-i', '-l', ...(line === undefined ? [] : ['-c', line])],
      env: { SHELL: '/bin/bash', TERM: 'xterm', ...env },
      // The seed's daemon knew home for no folder, and its own, the root, for an empty one, which is what clients send.
      cwd: cwd === '' ? '/' : folderOf(cwd ?? ''),
      terminal: size,
    },
    user: USER,
    describe: ({ data }) => note(decoder.write(data)),
    describeEnd: () => [...note(decoder.end()), { topic: 'onExit', result: '{}' }],
  };
}
