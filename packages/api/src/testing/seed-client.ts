import { credentials, Metadata, makeClientConstructor, type ServiceError } from '@grpc/grpc-js';
import { loadService } from '../dialects/seed/load-services.ts';

export type Answer = { code: number; details: string; message: unknown };

/** Speaks the seed's protocol to one server, for tests; disposing of it closes its connection. */
export function seedClient(address: string) {
  const clients = {
    Sandbox: new (makeClientConstructor(loadService('Sandbox'), 'Sandbox'))(
      address,
      credentials.createInsecure(),
    ),
    HostManage: new (makeClientConstructor(loadService('HostManage'), 'HostManage'))(
      address,
      credentials.createInsecure(),
    ),
  };
  const send = (
    service: keyof typeof clients,
    path: string,
    bytes: Buffer,
    options: { deadline?: Date; signal?: AbortSignal } = {},
  ) =>
    new Promise<Buffer>((resolve, reject) => {
      const raw = (given: Buffer) => given;
      const call = clients[service].makeUnaryRequest(
        path,
        raw,
        raw,
        bytes,
        new Metadata(),
        options,
        (error, value) => (error ? reject(error) : resolve(value!)),
      );
      options.signal?.addEventListener('abort', () => call.cancel());
    });
  return {
    /** Any bytes to any path. */
    send,
    /** The answer as plain fields. Errors: `ServiceError` with the status. */
    async call<Message = Record<string, unknown>>(
      service: keyof typeof clients,
      name: string,
      message: object = {},
      options: { deadline?: Date; signal?: AbortSignal } = {},
    ): Promise<Message> {
      const { path, requestSerialize, responseDeserialize } = loadService(service)[name]!;
      return responseDeserialize(await send(service, path, requestSerialize(message), options)) as Message;
    },
    [Symbol.dispose]() {
      for (const client of Object.values(clients)) client.close();
    },
  };
}

export type { ServiceError };
