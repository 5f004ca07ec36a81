import { SandboxError } from '@sandbox-backend/protocol';
import type { CallOptions, Envd } from '@sandbox-backend/sdk';
import { note } from '../text/print.ts';

const AT_ONCE = 200;

/** The file API carries no permission bits; a program that was copied should still be one. */
export async function makeExecutable(
  envd: Envd,
  paths: readonly string[],
  options: CallOptions,
): Promise<void> {
  for (let at = 0; at < paths.length; at += AT_ONCE) {
    const some = paths.slice(at, at + AT_ONCE);
    const problem = await changeMode(envd, some, options);
    if (problem) note(`${some.length} programs were copied but are not executable there: ${problem}`);
  }
}

async function changeMode(envd: Envd, paths: readonly string[], options: CallOptions) {
  try {
    const { output } = await envd.start({ command: 'chmod', args: ['+x', '--', ...paths] }, options);
    let printed = '';
    for (;;) {
      const next = await output.next();
      if (!next.done) printed += next.value.data.toString('utf8');
      else return next.value.exitCode === 0 ? undefined : printed.trim() || `chmod: ${next.value.error}`;
    }
  } catch (caught) {
    return SandboxError.from(caught).message; // an image without chmod
  }
}
