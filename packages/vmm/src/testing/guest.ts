import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { type Operation, packCpio, race } from '@sandbox-backend/kit';
import type { Machine } from '../vmm.ts';

/**
 * A guest for tests: it counts on its console, ten times a second, and does what its disk `vda` says.
 * A command is one word behind a number that makes it new.
 */
const INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
for module in $($b cat /modules/order 2>/dev/null); do $b insmod /modules/$module.ko 2>/dev/null; done
if $b grep -q 'probe=1' /proc/cmdline; then echo guest-probe-ok; $b poweroff -f; fi
$b head -c 1 /dev/random >/dev/null # from here on the kernel's random numbers are seeded
echo guest-started
n=0
done=
while :; do
  n=$((n + 1)); echo "tick $n"
  command=$($b dd if=/dev/vda iflag=direct bs=512 count=1 2>/dev/null)
  if [ "$command" != "$done" ]; then
    done=$command
    case "$command" in
      *random) echo "random $($b hexdump -n 16 -e '16/1 "%02x"' /dev/urandom)." ;;
      *reseeds) echo "reseeds $($b dmesg | $b grep -c 'reseeded due to virtual machine fork')." ;;
      *zero) $b printf 'before\\000after\\n' ;;
      *flood) l=0; while :; do l=$((l + 1)); echo "flood $l ----------------------------------------------------------------"; done ;;
      *poweroff) $b poweroff -f ;;
      *restart) $b reboot -f ;;
      *panic) echo c >/proc/sysrq-trigger ;;
    esac
  fi
  $b sleep 0.1
done
`;

export const TEST_COMMAND_LINE =
  'console=ttyS0 quiet loglevel=1 panic=1 reboot=t random.trust_cpu=on no_timer_check i8042.noaux i8042.nopnp';

/**
 * The initramfs of the test guest. `base` is one with the kernel's modules and a busybox, over which it is
 * laid; without it the kernel must have its drivers built in.
 */
export async function testInitrd(base?: string): Promise<Buffer> {
  const files = packCpio([
    ...['bin', 'dev', 'proc', 'sys'].map((path) => ({ path, type: 'directory' as const })),
    { path: 'init', type: 'file', mode: 0o755, data: Buffer.from(INIT) },
    ...(base
      ? []
      : [
          {
            path: 'bin/busybox',
            type: 'file' as const,
            mode: 0o755,
            data: await readFile('/usr/bin/busybox'),
          },
        ]),
  ]);
  return Buffer.concat([...(base ? [await readFile(base)] : []), gzipSync(files)]);
}

const DISK_BYTES = 64 * 1024;

/** Tells the guest something through its disk; made when it is not there. */
export async function sendCommand(disk: string, command: string): Promise<void> {
  await using file = await open(disk, constants.O_RDWR | constants.O_CREAT, 0o666);
  await file.write(command.padEnd(DISK_BYTES, '\n'), 0);
}

/** All that a machine has printed since somebody began to listen. */
export class Listener {
  text = '';
  private readonly machine: Machine;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  async read(op: Operation): Promise<string> {
    const text = await this.machine.readConsole(op);
    this.text += text;
    return text;
  }

  /** Waits until the pattern is in what was printed from now on. */
  async until(op: Operation, pattern: RegExp): Promise<RegExpExecArray> {
    for (const from = this.text.length; ; await race(op, `waiting for ${pattern}`, sleep(20))) {
      await this.read(op);
      const match = pattern.exec(this.text.slice(from));
      if (match) return match;
    }
  }

  /** The counts that were printed, in order. */
  ticks(): number[] {
    return [...this.text.matchAll(/tick (\d+)\r?\n/g)].map(([, count]) => Number(count));
  }
}
