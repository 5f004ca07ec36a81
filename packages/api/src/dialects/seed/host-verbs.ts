import type { Operation } from '@sandbox-backend/kit';
import type { NodeService } from '@sandbox-backend/protocol';
import { cleanNetworks } from '../../host/clean-networks.ts';
import type { CleanNetworkRequest } from './messages.ts';

/** The methods of the service `HostManage`. */
export const hostVerbs = (deps: { node: Pick<NodeService, 'recreateCgroup' | 'cleanNetwork'> }) => ({
  async RecreateCgroup(op: Operation) {
    await op.phase('recreate cgroup', () => deps.node.recreateCgroup(op));
    return {};
  },

  async CleanNetworkEnv(op: Operation, { NetworkIDs }: CleanNetworkRequest) {
    await cleanNetworks(op, deps, NetworkIDs.map(Number));
    return {};
  },
});
