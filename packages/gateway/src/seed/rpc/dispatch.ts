import { log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { SeedSandbox } from '../sandbox.ts';
import { codeSnippet } from '../services/code-snippet.ts';
import { filesystem } from '../services/filesystem.ts';
import { process } from '../services/process.ts';
import { terminal } from '../services/terminal.ts';
import {
  failed,
  handlerCrashed,
  invalidParams,
  methodNotFound,
  RpcError,
  subscriptionNotFound,
} from './errors.ts';
import type { Outlet } from './outlet.ts';
import { readParams } from './params.ts';
import type { RpcRequest } from './parse-message.ts';
import type { Service } from './service.ts';
import { Subscription } from './subscription.ts';

const SERVICES: ReadonlyMap<string, Service> = new Map(
  Object.entries({ process, terminal, filesystem, codeSnippet }),
);
const MAX_SUBSCRIPTIONS = 4096;

/** One client's connection: where its answers go and what it has subscribed to. */
export type Session = {
  sandbox: SeedSandbox;
  outlet: Outlet;
  subscriptions: Map<string, Subscription>;
};

/** An answer as JSON, and what may begin once it is sent. */
export type Reply = { text: string; afterwards?: () => void };

/** Carries a request out; undefined for what gets no answer. Never rejects. */
export async function dispatch(session: Session, request: RpcRequest): Promise<Reply | undefined> {
  if ('error' in request) return { text: errorText(request.id, request.error) };
  const { id, method, params } = request;
  try {
    const { result, afterwards } = await perform(session, method, params);
    if (id === undefined) {
      afterwards?.();
      return undefined;
    }
    return { text: `{"jsonrpc":"2.0","id":${id},"result":${result}}`, ...(afterwards && { afterwards }) };
  } catch (caught) {
    return id === undefined ? undefined : { text: errorText(id, asRpcError(method, caught)) };
  }
}

type Outcome = { result: string; afterwards?: () => void };

async function perform(session: Session, method: string, params: unknown): Promise<Outcome> {
  if (session.sandbox.held.isSpent) throw failed('too much is on its way to the clients of the sandbox');
  if (method.endsWith('_subscribe')) return subscribe(session, method, params);
  if (method.endsWith('_unsubscribe')) return unsubscribe(session, params);
  const [name, rest] = cut(method);
  const found = SERVICES.get(name)?.methods.get(rest);
  if (!found) throw methodNotFound(method);
  return { result: await found.call(session.sandbox, readParams(params, found.params)) };
}

async function subscribe(session: Session, method: string, params: unknown): Promise<Outcome> {
  const [name] = cut(method);
  if (!Array.isArray(params)) throw invalidParams('non-array args');
  const [topic, ...rest] = params as unknown[];
  if (typeof topic !== 'string') throw invalidParams('expected subscription name as first argument');
  const stream = SERVICES.get(name)?.streams.get(topic);
  if (!stream) throw subscriptionNotFound(topic, name);
  const values = readParams([topic, ...rest], ['string', ...stream.params]).slice(1);
  const { subscriptions, outlet, sandbox } = session;
  if (subscriptions.size >= MAX_SUBSCRIPTIONS) throw failed('too many subscriptions on one connection');
  const subscription = new Subscription(name, outlet);
  subscriptions.set(subscription.id, subscription);
  try {
    const delayMs = await stream.open(sandbox, subscription, values);
    return { result: JSON.stringify(subscription.id), afterwards: () => subscription.activate(delayMs) };
  } catch (caught) {
    subscriptions.delete(subscription.id);
    subscription.end();
    throw caught;
  }
}

async function unsubscribe({ subscriptions }: Session, params: unknown): Promise<Outcome> {
  const [id] = readParams(params, ['string']) as [string];
  const subscription = subscriptions.get(id);
  if (!subscription) throw failed('subscription not found');
  subscriptions.delete(id);
  subscription.end();
  return { result: 'true' };
}

/** At the first underscore; without one there is no such method anyway. */
function cut(method: string): [string, string] {
  const at = method.indexOf('_');
  return at < 0 ? [method, ''] : [method.slice(0, at), method.slice(at + 1)];
}

function asRpcError(method: string, caught: unknown): RpcError {
  if (caught instanceof RpcError) return caught;
  const error = SandboxError.from(caught);
  if (error.code !== 'internal') return failed(error.message);
  log('error', 'seed.rpc', { method: method.slice(0, 100), error: error.describe() });
  return handlerCrashed();
}

const errorText = (id: string, { code, message }: RpcError) =>
  `{"jsonrpc":"2.0","id":${id},"error":{"code":${code},"message":${JSON.stringify(message)}}}`;
