const SIGPIPE = 13;

/** `sandbox-cli … | head -1` is no failure of ours: end as a program does that SIGPIPE ended. */
export function exitOnBrokenPipe() {
  for (const stream of STREAMS) stream.on('error', exitIfBroken);
}

/** For who notices by itself, and has something to do first. */
export function surviveBrokenPipe() {
  for (const stream of STREAMS) stream.off('error', exitIfBroken).on('error', () => {});
}

const STREAMS = [process.stdout, process.stderr];

function exitIfBroken(error: NodeJS.ErrnoException) {
  if (error.code !== 'EPIPE') throw error;
  process.exit(128 + SIGPIPE);
}
