import { readFile } from 'node:fs/promises';
import { release } from 'node:os';

/**
 * The processor of this host as a snapshot under KVM depends on it: vendor, family, model and stepping. A guest
 * sees its features, and does not survive that one of them is gone.
 */
export async function hostCpu(): Promise<string> {
  const cpuinfo = await readFile('/proc/cpuinfo', 'utf8');
  const field = (name: string) => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(cpuinfo)?.[1]?.trim() ?? '?';
  return `${field('vendor_id')} ${field('cpu family')}/${field('model')}/${field('stepping')}`;
}

/** The series of this host's kernel, for example `6.12`: what KVM saves of a guest changes with it, not with a fix. */
export const hostKernel = () => release().split('.').slice(0, 2).join('.');
