import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Operation, race } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';

/** Connects to a VMM's control socket as soon as it exists; gives up when `alive` says that the VMM is gone. */
export async function connectWhenReady(
  op: Operation,
  path: string,
  alive: () => Promise<boolean>,
): Promise<Socket> {
  for (let attempt = 0; ; attempt++) {
    const socket = await tryConnect(path);
    if (socket) return socket;
    if (attempt % 10 === 9 && !(await alive())) {
      throw new SandboxError('unavailable', 'the VMM exited before it opened its control socket');
    }
    await race(op, 'vmm connect', sleep(attempt < 100 ? 5 : 50));
  }
}

function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}
