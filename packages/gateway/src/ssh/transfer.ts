import type { ServerChannel } from 'ssh2';
import type { Entrance } from './entrance.ts';

/** How often a write that waits for the client looks whether the channel is still there. */
const LOOK_MS = 1000;

/** What the protocol's code knows of a channel and its types do not tell. */
type Inside = {
  outgoing: { state: 'open' | 'eof' | 'closing' | 'closed' };
  _chunk: unknown;
  _chunkcb: unknown;
  _chunkErr: unknown;
  _chunkcbErr: unknown;
};

/**
 * Sends to the client, no faster than it takes it. False when it will not be taken any more.
 * To be called for one piece after the other.
 */
export async function deliver(
  entrance: Entrance,
  channel: ServerChannel,
  to: 'stdout' | 'stderr',
  data: Buffer,
  gone: AbortSignal,
): Promise<boolean> {
  await entrance.room();
  const inside = channel as unknown as Inside;
  const isOpen = () => inside.outgoing.state === 'open' && !gone.aborted && !entrance.destroyed;
  if (!isOpen()) return false;
  const sent = Promise.withResolvers<boolean>();
  const giveUp = () => sent.resolve(false);
  // A write that waits for room in the client's window is forgotten when the channel closes.
  const look = setInterval(() => isOpen() || giveUp(), LOOK_MS);
  gone.addEventListener('abort', giveUp);
  try {
    (to === 'stdout' ? channel : channel.stderr).write(data, () => sent.resolve(true));
    return await sent.promise;
  } finally {
    clearInterval(look);
    gone.removeEventListener('abort', giveUp);
    // It keeps what has waited, and would send it again in place of what waits next on the other stream.
    inside._chunk = undefined;
    inside._chunkcb = undefined;
    inside._chunkErr = undefined;
    inside._chunkcbErr = undefined;
  }
}

/**
 * Hands on what the client sends, all that has come at a time, and reads no more before it was taken. Returns at
 * the end of input, or when the client is gone.
 */
export async function readInput(
  channel: ServerChannel,
  gone: AbortSignal,
  take: (data: Buffer) => Promise<void>,
): Promise<void> {
  while (!gone.aborted) {
    const data = channel.read() as Buffer | null;
    if (data !== null) await take(data);
    else if (channel.readableEnded) return;
    else await moreInput(channel, gone);
  }
}

function moreInput(channel: ServerChannel, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      channel.off('readable', settle);
      channel.off('end', settle);
      gone.removeEventListener('abort', settle);
      resolve();
    };
    channel.on('readable', settle);
    channel.on('end', settle);
    gone.addEventListener('abort', settle);
  });
}
