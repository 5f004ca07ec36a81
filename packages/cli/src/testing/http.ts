import type { IncomingMessage, ServerResponse } from 'node:http';

export async function bytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export const text = async (request: IncomingMessage) => (await bytes(request)).toString('utf8');

export function send(response: ServerResponse, status: number, body?: unknown) {
  response.statusCode = status;
  if (body !== undefined) response.setHeader('Content-Type', 'application/json');
  response.end(body === undefined ? undefined : JSON.stringify(body));
}
