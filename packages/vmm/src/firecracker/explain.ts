import { asFields, asText } from '../control/fields.ts';
import type { MachineExit } from '../vmm.ts';

/** `src/vmm/src/lib.rs`, FcExitCode. */
const EXIT_CODES: Record<number, string> = {
  1: 'Firecracker met an error',
  2: 'Firecracker met an error that it did not expect',
  148: 'Firecracker made a system call that its filter forbids',
  149: 'Firecracker got SIGBUS: a file behind its memory became shorter, or huge pages ran out',
  150: 'Firecracker got SIGSEGV',
  151: 'Firecracker got SIGXFSZ: it wrote a file past its limit',
  152: 'Firecracker refused its configuration',
  153: 'Firecracker refused its arguments',
  154: 'Firecracker got SIGXCPU: it used up its processor time',
  155: 'Firecracker got SIGPIPE',
  156: 'Firecracker got SIGHUP',
  157: 'Firecracker got SIGILL',
};

/** Why a Firecracker that nobody stopped has ended: it says its exit status in its last line. */
export function explainExit(log: string): MachineExit {
  const code = /exit_code=(\d+)/.exec(
    log.split('\n').findLast((line) => line.includes('exit_code=')) ?? '',
  )?.[1];
  // Firecracker has no power switch: a guest ends it by a restart, which a panic leads to as well.
  if (code === '0')
    return { reason: 'powered_off', detail: 'the guest restarted, by request or after a panic' };
  const what =
    code === undefined ? undefined : (EXIT_CODES[Number(code)] ?? `Firecracker exited with ${code}`);
  return { reason: 'crashed', detail: [what, log].filter(Boolean).join('\n') };
}

/** `{"fault_message": "…"}` */
export function explainFault(body: string): string {
  try {
    return asText(asFields(JSON.parse(body)).fault_message);
  } catch {
    return body.slice(0, 1000);
  }
}
