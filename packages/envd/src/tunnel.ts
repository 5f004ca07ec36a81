// Services of the guest that are bound to loopback are reached through this port, and what is on the other side can
// listen there. The gateway connects to it, sends one line, and after the answer the connection is what was asked for:
//
//   → CONNECT <port> <token>\n     the token of the sandbox; left out while it has none
//   ← OK\n                         from here on raw bytes, both ways, either way may end first
//   ← ERR closed\n                 nothing listens on that port, on 127.0.0.1 or ::1
//
//   → LISTEN <port> <token>\n      on 127.0.0.1; port 0 is any free one
//   ← OK <port>\n                  for as long as this connection stays open
//   ← CONNECTION <id>\n            for each connection made to the port; it waits for
//   → ACCEPT <id> <token>\n        on a connection of its own
//   ← OK\n                         and then raw bytes
//   ← ERR in use\n                 by another program
//
//   ← ERR forbidden\n              a wrong token, or a port of envd itself
//   ← ERR invalid\n                not such a line
import type { Guest } from './guest.ts';
import { sameText } from './http/same-text.ts';
import { type Connection, connectTcp, listenTcp } from './runtime.ts';

const MAX_LINE_BYTES = 512;
/** Connections to ports that the gateway listens on, and how long they wait to be fetched. */
const MAX_WAITING = 128;
const WAITING_MS = 10_000;

/** Connections that wait to be fetched, by the id that the gateway was told. */
type Waiting = Map<string, Connection>;

export function serveTunnel(guest: Guest): { port: number } {
  const waiting: Waiting = new Map();
  return listenTcp({ host: guest.options.host, port: guest.options.tunnelPort }, (client) => {
    let line = Buffer.alloc(0);
    client.onData = (chunk) => {
      line = Buffer.concat([line, chunk]);
      const end = line.indexOf(0x0a);
      if (end < 0) {
        if (line.length > MAX_LINE_BYTES) refuse(client, 'invalid');
        return;
      }
      client.onData = undefined;
      client.pause();
      void open(guest, waiting, client, line.toString('latin1', 0, end).trimEnd(), line.subarray(end + 1));
    };
  });
}

async function open(
  guest: Guest,
  waiting: Waiting,
  client: Connection,
  line: string,
  early: Uint8Array,
): Promise<void> {
  const [, verb, digits, id, token = ''] =
    /^(?:(CONNECT|LISTEN) (\d{1,5})|ACCEPT ([0-9a-f-]{36}))(?: (\S+))?$/.exec(line) ?? [];
  const port = Number(digits ?? 0);
  if ((verb === undefined && id === undefined) || port > 65_535 || (verb === 'CONNECT' && port === 0)) {
    return refuse(client, 'invalid');
  }
  const { accessToken } = guest.identity;
  const allowed = accessToken === undefined || sameText(token, accessToken);
  // envd trusts what comes from loopback more than what comes from here.
  if (!allowed || port === guest.options.port || port === guest.options.tunnelPort) {
    return refuse(client, 'forbidden');
  }
  if (verb === 'LISTEN') return listen(waiting, client, port);
  const other = id === undefined ? await connectService(port) : fetchWaiting(waiting, id);
  if (!other) return refuse(client, 'closed');
  client.write(Buffer.from('OK\n'));
  join(client, other);
  join(other, client);
  if (early.length > 0) client.onData?.(Buffer.from(early));
  client.resume();
  other.resume();
}

const connectService = async (port: number) =>
  (await connectTcp('127.0.0.1', port)) ?? (await connectTcp('::1', port));

function fetchWaiting(waiting: Waiting, id: string): Connection | undefined {
  const connection = waiting.get(id);
  waiting.delete(id);
  return connection;
}

/** Listens until the connection that asked for it ends. */
function listen(waiting: Waiting, control: Connection, port: number): void {
  let listener: ReturnType<typeof listenTcp>;
  const ids = new Set<string>();
  try {
    listener = listenTcp({ host: '127.0.0.1', port }, (connection) => {
      if (waiting.size >= MAX_WAITING) return connection.close();
      connection.pause();
      const id = crypto.randomUUID();
      waiting.set(id, connection);
      ids.add(id);
      const forget = () => {
        ids.delete(id);
        return fetchWaiting(waiting, id);
      };
      setTimeout(() => forget()?.close(), WAITING_MS);
      connection.onClose = forget;
      control.write(Buffer.from(`CONNECTION ${id}\n`));
    });
  } catch {
    refuse(control, 'in use');
    return;
  }
  control.onData = () => {}; // there is nothing more to say
  control.onEnd = () => control.close();
  control.onClose = () => {
    listener.stop();
    for (const id of ids) fetchWaiting(waiting, id)?.close();
  };
  control.write(Buffer.from(`OK ${listener.port}\n`));
  control.resume();
}

function refuse(client: Connection, reason: string): void {
  client.onData = undefined;
  client.write(Buffer.from(`ERR ${reason}\n`));
  client.end();
}

/** Passes on what comes from `source`, and reads no more of it than `target` takes. */
function join(source: Connection, target: Connection): void {
  source.onData = (chunk) => {
    if (!target.write(chunk)) source.pause();
  };
  target.onDrain = () => source.resume();
  source.onEnd = () => target.end();
  source.onClose = () => target.close();
}
