import { fileURLToPath } from 'node:url';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const PROTO = fileURLToPath(new URL('../../../../../proto/seed/sandbox.proto', import.meta.url));

/** A service of the seed's protocol; the paths of its methods have no package. */
export function loadService(name: 'Sandbox' | 'HostManage'): ServiceDefinition {
  const definitions = loadSync(PROTO, {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    arrays: true,
    objects: true,
  });
  return definitions[name] as ServiceDefinition;
}

/**
 * The same methods with requests left as the bytes that came: what cannot be decoded is the client's mistake, and
 * the library would call it ours.
 */
export const withRawRequests = (service: ServiceDefinition): ServiceDefinition =>
  Object.fromEntries(
    Object.entries(service).map(([name, method]) => [
      name,
      { ...method, requestDeserialize: (bytes: Buffer) => bytes } satisfies MethodDefinition<
        unknown,
        unknown
      >,
    ]),
  );
