import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { blobPath, indexSchema } from '../layout/oci.ts';

export type TestRegistry = AsyncDisposable & {
  /** `127.0.0.1:<port>` */
  host: string;
  /** `METHOD path` of each request. */
  requests: string[];
};

export type TestRegistryOptions = {
  /** The OCI layout that is served as `team/image:latest`. */
  layout?: string;
  /** Every request for the image gets this status instead. */
  fail?: number;
  /** `user:password`, without which nothing is given. */
  basicAuth?: string;
  /** Blobs end after this many bytes, though more are announced. */
  truncateBlobsAt?: number;
};

/** A registry on the loopback interface, with the few requests that a pull makes; it fails as told. */
export async function startRegistry(options: TestRegistryOptions): Promise<TestRegistry> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    answer(request, response, options).catch(() => response.writeHead(404).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: TestRegistryOptions,
): Promise<void> {
  const { layout, fail, basicAuth } = options;
  const expected = basicAuth && `Basic ${Buffer.from(basicAuth).toString('base64')}`;
  if (expected && request.headers.authorization !== expected) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' });
    response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
    return;
  }
  if (request.url === '/v2/') {
    response.writeHead(200).end('{}');
    return;
  }
  if (fail || !layout) {
    response.writeHead(fail ?? 404, { 'content-type': 'application/json' }).end('{"errors":[]}');
    return;
  }
  const [, kind, wanted = ''] = /^\/v2\/team\/image\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? [];
  if (!kind) {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end('{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}');
    return;
  }
  await serve(response, layout, kind, wanted, options.truncateBlobsAt);
}

async function serve(
  response: ServerResponse,
  layout: string,
  kind: string,
  wanted: string,
  truncateAt?: number,
): Promise<void> {
  const index = indexSchema.parse(JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')));
  const manifest = index.manifests[0]!;
  if (kind === 'manifests' && wanted !== 'latest' && wanted !== manifest.digest) {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
    return;
  }
  const digest = kind === 'manifests' ? manifest.digest : wanted;
  const data = await readFile(blobPath(layout, digest));
  response.writeHead(200, {
    'content-length': data.length,
    'content-type': kind === 'manifests' ? manifest.mediaType : 'application/octet-stream',
    'docker-content-digest': digest,
  });
  if (kind === 'blobs' && truncateAt !== undefined && data.length > truncateAt) {
    response.write(data.subarray(0, truncateAt), () => response.destroy());
  } else {
    response.end(data);
  }
}
