import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { parseLocation } from '../../copy/location.ts';
import { openSandbox } from '../../open-sandbox.ts';

export function declare(command: Command) {
  command
    .argument('<source>', 'a path here, ID:PATH in a sandbox, or - for standard input')
    .argument('<target>', 'a path here, ID:PATH in a sandbox, or - for standard output')
    .option('-u, --user <name>', "whose files they are in the sandbox (default: the template's user)")
    .addHelpText(
      'after',
      '\nFolders are copied with all that is in them. A path in a sandbox may be relative to the home folder.' +
        '\nA file here with a colon in its name is written ./a:b.',
    )
    .action(copy);
}

async function copy(sourceText: string, targetText: string, options: { user?: string }, command: Command) {
  const source = parseLocation(sourceText);
  const target = parseLocation(targetText);
  if (source.type === 'sandbox' && target.type !== 'sandbox') {
    const { download } = await import('../../copy/download.ts');
    await download(await openSandbox(command, source.id), source.path, target, options);
  } else if (target.type === 'sandbox' && source.type !== 'sandbox') {
    const { upload } = await import('../../copy/upload.ts');
    await upload(await openSandbox(command, target.id), source, target.path, options);
  } else {
    throw new SandboxError('invalid_argument', 'One side must be in a sandbox, the other here', {
      hint: 'For example: sandbox-cli sandbox cp ./file ID:/tmp/',
    });
  }
}
