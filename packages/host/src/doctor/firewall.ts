import { run } from '@sandbox-backend/kit';

/** A chain that the kernel asks about packets, in any table of this host. */
export type BaseChain = { family: string; table: string; name: string; hook: string; policy: string };

/** Undefined when nft cannot be asked. */
export async function readBaseChains(signal: AbortSignal): Promise<BaseChain[] | undefined> {
  const answer = await run('nft', ['-j', 'list', 'chains'], { signal }).catch(() => undefined);
  return answer && parseChains(answer.stdout);
}

export function parseChains(json: string): BaseChain[] {
  const { nftables } = JSON.parse(json) as { nftables: { chain?: Partial<BaseChain> }[] };
  return nftables.flatMap(({ chain }) =>
    chain?.hook && chain.table && chain.name
      ? [
          {
            family: chain.family ?? '',
            table: chain.table,
            name: chain.name,
            hook: chain.hook,
            policy: chain.policy ?? 'accept',
          },
        ]
      : [],
  );
}

/**
 * Chains of other firewalls that stop forwarded IPv4 packets unless a rule of theirs lets them
 * through; Docker sets such a policy. Our own rules cannot overrule them: a drop anywhere is final.
 */
export const forwardBlockers = (chains: readonly BaseChain[]) =>
  chains.filter(
    ({ family, table, hook, policy }) =>
      hook === 'forward' &&
      policy === 'drop' &&
      (family === 'ip' || family === 'inet') &&
      !table.startsWith('sandbox_backend'),
  );
