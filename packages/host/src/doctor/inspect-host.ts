import { collectFacts } from './facts.ts';
import { type Finding, judge } from './judge.ts';

export type InspectHostOptions = {
  dataRoot: string;
  subnet?: string;
  namePrefix?: string;
  qemuBinary?: string;
  signal?: AbortSignal;
};

/**
 * Looks at all that sandboxes need of this host, changes nothing, and says what is missing and how to
 * mend it. Works without root, and sees less then. Whether KVM is dependable only a guest can tell.
 */
export async function inspectHost(options: InspectHostOptions): Promise<Finding[]> {
  const facts = await collectFacts({
    dataRoot: options.dataRoot,
    subnet: options.subnet ?? '10.168.0.0/16',
    namePrefix: options.namePrefix ?? 'sbx',
    qemuBinary: options.qemuBinary ?? 'qemu-system-x86_64',
    signal: options.signal ?? AbortSignal.timeout(20_000),
  });
  return judge(facts);
}
