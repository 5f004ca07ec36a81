import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dataRoot, hostEnv } from './server.ts';

/** Everything on this host that a sandbox holds, as sorted names: two of these are equal when nothing leaked. */
export type Holdings = Record<
  'processes' | 'namespaces' | 'links' | 'mounts' | 'cgroups' | 'machines' | 'rules',
  string[]
>;

export function holdings(): Holdings {
  return {
    processes: processes(),
    namespaces: readNames('/run/netns').filter((name) => name.startsWith('sbt')),
    links: output('ip', ['-br', 'link'])
      .map((line) => line.split(/[\s@]/)[0]!)
      .filter((name) => name.startsWith('sbt')),
    mounts: readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(dataRoot)),
    cgroups: ['/sys/fs/cgroup', ...readNames('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name))]
      .flatMap((folder) => readNames(join(folder, 'sandbox-backend')).map((name) => join(folder, name)))
      .filter((name) => /\/[mb][0-9a-z]{20}$/.test(name)),
    machines: readNames(join(dataRoot, 'machines')),
    rules: output('nft', ['list', 'ruleset']).filter((line) => line.includes('sbt-')),
  };
}

/** The same as soon as it has come to rest: the pool of spare slots refills a moment after a sandbox took one. */
export async function settled() {
  let last = holdings();
  for (let equal = 0; equal < 6; ) {
    await sleep(500);
    const now = holdings();
    equal = JSON.stringify(now.namespaces.length) === JSON.stringify(last.namespaces.length) ? equal + 1 : 0;
    last = now;
  }
  // Names of spare slots change when one is used; their number does not.
  const { namespaces, links, rules, ...rest } = last;
  return { ...rest, namespaces: namespaces.length, links: links.length, rules: rules.length };
}

/** Every process of the users that the tests' VMMs run as. */
function processes(): string[] {
  return readNames('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const uid = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid ?? 0;
      if (readText(`/proc/${pid}/cmdline`) === '') return false; // ended, and not reaped yet
      return uid >= Number(hostEnv.SANDBOX_UID_BASE) && uid < Number(hostEnv.SANDBOX_UID_BASE) + 65536;
    });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readNames(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

function output(command: string, args: string[]): string[] {
  return execFileSync(command, args, { encoding: 'utf8' }).split('\n').filter(Boolean).sort();
}
