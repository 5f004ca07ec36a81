import type { SandboxRoute } from '@sandbox-backend/protocol';
import type { Connection, ServerChannel, Session } from 'ssh2';
import type { Entrance } from './entrance.ts';
import { forwardLocal } from './forward-local.ts';
import { forwardRemote } from './forward-remote.ts';
import type { Login } from './login.ts';
import { serveSession } from './serve-session.ts';
import { deliver } from './transfer.ts';
import { countChannels, openEnvd, type Visitor } from './visitor.ts';

/** How long programs are still hung up after their client has gone. */
export const CLEAN_UP_MS = 15_000;

/**
 * Serves the channels of a client that was let in, until it is gone. What is returned cuts it off from the guest
 * at once, for when that has ended.
 */
export function serveVisitor(
  client: Connection,
  entrance: Entrance,
  login: Login,
  route: SandboxRoute | undefined,
  tunnelPort: number,
): () => void {
  const gone = new AbortController();
  entrance.on('close', () => gone.abort());
  if (route?.state !== 'running') {
    refuseSessions(client, entrance, describe(login, route), gone.signal);
    return () => {};
  }

  const { envd, close } = openEnvd(route);
  const work = new Set<Promise<void>>();
  const visitor: Visitor = {
    client,
    entrance,
    login,
    route,
    envd,
    gone: gone.signal,
    channels: countChannels(entrance),
    tunnelPort,
    work(done) {
      const settled = done
        .catch(() => {})
        .finally(() => {
          work.delete(settled);
          if (gone.signal.aborted && work.size === 0) close();
        });
      work.add(settled);
    },
  };
  gone.signal.addEventListener('abort', () => {
    if (work.size === 0) return close();
    setTimeout(close, CLEAN_UP_MS).unref();
  });

  client.on('session', (accept, reject) => {
    if (!visitor.channels.take()) return reject?.();
    serveSession(visitor, accept(), () => visitor.channels.give());
  });
  forwardLocal(visitor);
  forwardRemote(visitor);
  return close;
}

function describe({ sandboxId }: Login, route: SandboxRoute | undefined): string {
  if (route?.state === 'paused') {
    return `Sandbox ${sandboxId} is paused; connect to it to wake it, for example with: sandbox-cli sandbox exec ${sandboxId} -- true`;
  }
  if (route?.state === 'changing') return `Sandbox ${sandboxId} is being paused or resumed; try again`;
  return `Sandbox ${sandboxId} is not running`;
}

/** Says why on whatever the client asks for first, and ends. */
function refuseSessions(client: Connection, entrance: Entrance, text: string, gone: AbortSignal): void {
  const say = (accept: () => ServerChannel) => {
    const channel = accept();
    channel.on('error', () => {});
    void deliver(entrance, channel, 'stderr', Buffer.from(`sandbox: ${text}\r\n`), gone).then(() => {
      channel.exit(1);
      channel.end();
      client.end();
    });
  };
  client.once('session', (accept) => {
    const session: Session = accept();
    session.on('pty', (acceptPty) => acceptPty?.());
    session.on('shell', say);
    session.on('exec', say);
    session.on('subsystem', say);
  });
}
