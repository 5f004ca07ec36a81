import type { AddressInfo, BlockList } from 'node:net';
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import type { SandboxDeps } from '../../sandboxes/deps.ts';
import { type RawHandler, unary, type Verb } from './call.ts';
import { openDoor } from './door.ts';
import { hostVerbs } from './host-verbs.ts';
import { loadService, withRawRequests } from './load-services.ts';
import { sandboxVerbs } from './sandbox-verbs.ts';

export type SeedControlOptions = {
  listen: { host: string; port: number };
  /** Who may connect: these clients have no credentials, so their address is all there is to go by. */
  clients: BlockList;
  deps: SandboxDeps;
  /** Whose sandboxes they are. */
  teamId: string;
};

export type SeedControl = {
  address: AddressInfo;
  /** Cancels the calls under way, and returns when they have ended. */
  close(): Promise<void>;
};

const TIMEOUTS_MS: Record<string, number> = {
  Create: 120_000,
  // A snapshot copies memory and disk; both may be gigabytes.
  Snapshot: 10 * 60_000,
};
const TIMEOUT_MS = 60_000;

const LIMITS = {
  'grpc.max_receive_message_length': 1024 * 1024,
  'grpc.max_send_message_length': -1,
  'grpc.max_concurrent_streams': 100,
  // A client that vanished without a word is noticed; one that only waits is left alone.
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.max_connection_idle_ms': 30 * 60_000,
  'grpc-node.max_session_memory': 10,
};

/**
 * Serves the seed's control plane: gRPC without TLS on one port. Errors: `failed_precondition` when the address
 * cannot be listened on.
 */
export async function startSeedControl(options: SeedControlOptions): Promise<SeedControl> {
  const { listen, clients, deps, teamId } = options;
  const underWay = new Set<Promise<void>>();
  const track = (call: Promise<void>) => {
    underWay.add(call);
    void call.finally(() => underWay.delete(call));
  };
  const server = new Server(LIMITS);
  const serve = (service: ServiceDefinition, verbs: Record<string, Verb>) => {
    const handlers: Record<string, RawHandler> = {};
    for (const [name, verb] of Object.entries(verbs)) {
      const { path, requestDeserialize: decode } = service[name]!;
      handlers[name] = unary({ path, decode, timeoutMs: TIMEOUTS_MS[name] ?? TIMEOUT_MS }, track, verb);
    }
    server.addService(withRawRequests(service), handlers);
  };
  serve(loadService('Sandbox'), sandboxVerbs(deps, teamId));
  serve(loadService('HostManage'), hostVerbs(deps));

  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const door = await openDoor({ listen, clients, setting: 'SANDBOX_SEED_CONTROL_LISTEN' }, (socket) =>
    injector.injectConnection(socket),
  );
  return {
    address: door.address,
    async close() {
      const closed = door.close();
      server.forceShutdown();
      await closed;
      await Promise.all(underWay);
    },
  };
}
