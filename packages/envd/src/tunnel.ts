// Services of the guest that are bound to loopback are reached through this port. The gateway connects to it,
// sends one line, and after the answer the connection is one to the service:
//
//   → CONNECT <port> <token>\n      the token of the sandbox; left out while it has none
//   ← OK\n                          from here on raw bytes, both ways, either way may end first
//   ← ERR closed\n                  nothing listens on that port, on 127.0.0.1 or ::1
//   ← ERR forbidden\n               a wrong token, or a port of envd itself
//   ← ERR invalid\n                 not such a line
import type { Guest } from './guest.ts';
import { sameText } from './http/same-text.ts';
import { type Connection, connectTcp, listenTcp } from './runtime.ts';

const MAX_LINE_BYTES = 512;

export function serveTunnel(guest: Guest): { port: number } {
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
      void open(guest, client, line.toString('latin1', 0, end).trimEnd(), line.subarray(end + 1));
    };
  });
}

async function open(guest: Guest, client: Connection, line: string, early: Uint8Array): Promise<void> {
  const [, digits, token = ''] = /^CONNECT (\d{1,5})(?: (\S+))?$/.exec(line) ?? [];
  const port = Number(digits);
  if (digits === undefined || port < 1 || port > 65_535) return refuse(client, 'invalid');
  const { accessToken } = guest.identity;
  const allowed = accessToken === undefined || sameText(token, accessToken);
  // envd trusts what comes from loopback more than what comes from here.
  if (!allowed || port === guest.options.port || port === guest.options.tunnelPort) {
    return refuse(client, 'forbidden');
  }
  const service = (await connectTcp('127.0.0.1', port)) ?? (await connectTcp('::1', port));
  if (!service) return refuse(client, 'closed');
  client.write(Buffer.from('OK\n'));
  join(client, service);
  join(service, client);
  if (early.length > 0) client.onData?.(Buffer.from(early));
  client.resume();
  service.resume();
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
