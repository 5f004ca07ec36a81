import { ROOT } from './guest.ts';

/** What clients run to see what the template's start command prints. */
const COMMAND = 'sudo journalctl --follow --lines=all -o cat _SYSTEMD_UNIT=start_cmd.service';
/** Where envd writes it. A template without a start command has no such file, and the program ends at once. */
const FILE = '/var/log/start_cmd.log';

/**
 * The program that shows it in a sandbox, which need have neither systemd nor sudo; undefined for any other line.
 */
export const startLogProgram = (line: string) =>
  line === COMMAND
    ? {
        user: ROOT,
        program: { command: '/bin/sh', args: ['-c', `[ ! -e ${FILE} ] || exec tail -n +1 -f ${FILE}`] },
      }
    : undefined;
