import { run } from '@sandbox-backend/kit';

/** The interface of the default route, undefined when this host has none. */
export async function defaultInterface(signal: AbortSignal): Promise<string | undefined> {
  try {
    const { stdout } = await run('ip', ['-4', '-j', 'route', 'get', '1.1.1.1'], { signal });
    const [route] = JSON.parse(stdout) as { dev?: string }[];
    return route?.dev === 'lo' ? undefined : route?.dev;
  } catch (caught) {
    signal.throwIfAborted();
    if ((caught as { code?: string }).code === 'failed_precondition') throw caught;
    return undefined; // `ip` exits with 2 when the network is unreachable
  }
}
