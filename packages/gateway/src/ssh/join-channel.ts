import type { Socket } from 'node:net';
import type { ServerChannel } from 'ssh2';
import { deliver, readInput } from './transfer.ts';
import type { Visitor } from './visitor.ts';

/** Joins a forwarding's channel and a connection of the guest; either way may end first. Resolves when both are closed. */
export async function joinChannel(
  { entrance, gone, channels }: Visitor,
  channel: ServerChannel,
  socket: Socket,
): Promise<void> {
  const over = new AbortController();
  const end = () => over.abort();
  channels.watch(channel);
  channel.on('error', end);
  channel.on('close', end);
  socket.on('close', end);
  gone.addEventListener('abort', end);
  const toGuest = async () => {
    await readInput(channel, over.signal, (data) => write(socket, data, over.signal));
    if (!over.signal.aborted) socket.end();
  };
  const toClient = async () => {
    for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (!(await deliver(entrance, channel, 'stdout', chunk, over.signal))) return;
    }
    channel.eof(); // its `end` would close the other way, too
  };
  try {
    await Promise.all([toGuest(), toClient()]);
  } catch {
    // One side has broken off.
  } finally {
    gone.removeEventListener('abort', end);
    over.abort();
    channel.end();
    channel.resume();
    socket.destroy();
  }
}

function write(socket: Socket, data: Buffer, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      over.removeEventListener('abort', settle);
      resolve();
    };
    over.addEventListener('abort', settle);
    socket.write(data, settle); // with an error, 'close' follows
  });
}
