import type { Envd } from '@sandbox-backend/sdk';
import { ignoreGone } from './ignore-gone.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * The program is asked to end instead of this process: the first time with SIGTERM, the second with
 * SIGKILL (the protocol has no other signals). The third ends this process, should nobody answer.
 */
export function forwardSignals(envd: Envd, pid: number): Disposable {
  let received = 0;
  const forward = () => {
    received += 1;
    if (received > 2) process.exit(130);
    const signal = received === 1 ? 'SIGTERM' : 'SIGKILL';
    void ignoreGone(envd.signal(pid, signal), `${signal} was not sent`);
  };
  for (const signal of SIGNALS) process.on(signal, forward);
  return {
    [Symbol.dispose]() {
      for (const signal of SIGNALS) process.off(signal, forward);
    },
  };
}
