import { SandboxError } from '@sandbox-backend/protocol';
import { note } from '../text/print.ts';

/** For what is sent to a program beside its output: that it has ended is no news, all else is told. */
export async function ignoreGone(sending: Promise<void>, told: string): Promise<void> {
  try {
    await sending;
  } catch (caught) {
    const error = SandboxError.from(caught);
    if (error.code !== 'not_found' && error.code !== 'canceled') note(`${told}: ${error.message}`);
  }
}
