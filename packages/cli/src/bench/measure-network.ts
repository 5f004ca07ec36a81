import { Readable } from 'node:stream';
import { request } from '@sandbox-backend/sdk';
import { countBytes, pieces } from './measure-files.ts';
import { type Bench, type BenchSandbox, type Measurement, measured, timed } from './measurement.ts';

const ROUNDS = 3;
const MEGABYTE = 1_000_000;

/**
 * The smallest server that can stand for the network itself: it drops what a POST sends and sends
 * zeros to a GET. Its argument is the number of bytes; it prints the port that it was given.
 */
const PROGRAM = `
import socket, sys
size = int(sys.argv[1])
block = bytes(262144)
server = socket.create_server(("0.0.0.0", 0))
print(server.getsockname()[1], flush=True)
while True:
    link, _ = server.accept()
    try:
        head = b""
        while b"\\r\\n\\r\\n" not in head:
            piece = link.recv(65536)
            if not piece: raise OSError("closed")
            head += piece
        head, _, body = head.partition(b"\\r\\n\\r\\n")
        if head.startswith(b"GET"):
            link.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
            for at in range(0, size, len(block)): link.sendall(block[:size - at])
        else:
            left = size - len(body)
            buffer = bytearray(262144)
            while left > 0:
                count = link.recv_into(buffer)
                if not count: break
                left -= count
            link.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n")
    except OSError:
        pass
    finally:
        link.close()
`;

/** What the guest's network carries without envd: through the data plane, and straight to its address. */
export async function measureNetwork(bench: Bench, sandbox: BenchSandbox): Promise<Measurement[]> {
  const bytes = bench.fileMib * 1024 * 1024;
  const name = 'network up and down';
  let server: Awaited<ReturnType<typeof startServer>>;
  try {
    server = await startServer(bench, sandbox, bytes);
  } catch (caught) {
    bench.signal.throwIfAborted();
    return [{ name, notMeasured: `python3 in the sandbox: ${(caught as Error).message}` }];
  }
  const headers = sandbox.envd.headersForPort(server.port);
  const through = await measureRoute(
    bench,
    'through the data plane',
    bench.connection.sandboxUrl,
    headers,
    bytes,
  );
  const status = await bench.control.status();
  const address = status?.sandboxes?.find(({ sandboxId }) => sandboxId === sandbox.id)?.address;
  const direct = address
    ? await measureRoute(bench, 'direct', `http://${address}:${server.port}`, {}, bytes)
    : [{ name: 'network direct', notMeasured: 'the server does not tell the address of the sandbox' }];
  await server.end();
  return [...through, ...direct];
}

/** Resolves when the program listens. */
async function startServer(bench: Bench, { envd }: BenchSandbox, bytes: number) {
  const args = ['-c', PROGRAM, String(bytes)];
  const { pid, output } = await envd.start({ command: 'python3', args }, { signal: bench.signal });
  const first = await output.next();
  if (first.done) throw new Error(first.value.error ?? 'it ended');
  const printed = first.value.data.toString('utf8').trim();
  if (first.value.type !== 'stdout' || !/^\d+$/.test(printed)) throw new Error(printed);
  return {
    port: Number(printed),
    async end() {
      await envd.signal(pid, 'SIGKILL');
      while (!(await output.next()).done);
    },
  };
}

async function measureRoute(
  bench: Bench,
  route: string,
  url: string,
  headers: Record<string, string>,
  bytes: number,
): Promise<Measurement[]> {
  const { signal } = bench;
  const rates = { up: [] as number[], down: [] as number[] };
  const send = async () => {
    const length = { 'Content-Length': String(bytes) };
    const body = Readable.from(pieces(bytes));
    return countBytes(
      await ok(request(url, { method: 'POST', headers: { ...headers, ...length }, body, signal })),
    );
  };
  const fetchAll = async () => countBytes(await ok(request(url, { headers, signal })));
  try {
    for (let round = 0; round < ROUNDS; round++) {
      rates.up.push(bytes / MEGABYTE / ((await timed(send)).ms / 1000));
      const down = await timed(fetchAll);
      if (down.result !== bytes) throw new Error(`${down.result} bytes came of ${bytes}`);
      rates.down.push(bytes / MEGABYTE / (down.ms / 1000));
    }
  } catch (caught) {
    signal.throwIfAborted();
    return [{ name: `network ${route}`, notMeasured: (caught as Error).message }];
  }
  return [
    measured(`network up, ${route}`, 'MB/s', rates.up),
    measured(`network down, ${route}`, 'MB/s', rates.down),
  ];
}

async function ok(answer: ReturnType<typeof request>) {
  const response = await answer;
  if (response.statusCode === 200) return response;
  response.destroy();
  throw new Error(`the answer was ${response.statusCode}`);
}
