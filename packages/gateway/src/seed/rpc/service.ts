import type { SeedSandbox } from '../sandbox.ts';
import type { Param, ValuesOf } from './params.ts';
import type { Subscription } from './subscription.ts';

export type Method = {
  params: readonly Param[];
  /** Answers with JSON. */
  call(sandbox: SeedSandbox, values: unknown[]): Promise<string>;
};

export type Stream = {
  params: readonly Param[];
  /** Begins to notify. Resolves with how long the first notification must wait after the answer, in milliseconds. */
  open(sandbox: SeedSandbox, subscription: Subscription, values: unknown[]): Promise<number>;
};

/** The methods and subscriptions of one name space. */
export type Service = { methods: ReadonlyMap<string, Method>; streams: ReadonlyMap<string, Stream> };

export const NOTHING = 'null';

export function method<const P extends readonly Param[]>(
  params: P,
  call: (sandbox: SeedSandbox, ...values: ValuesOf<P>) => Promise<string>,
): Method {
  return { params, call: (sandbox, values) => call(sandbox, ...(values as ValuesOf<P>)) };
}

export function stream<const P extends readonly Param[]>(
  params: P,
  open: (sandbox: SeedSandbox, subscription: Subscription, ...values: ValuesOf<P>) => Promise<number>,
): Stream {
  return {
    params,
    open: (sandbox, subscription, values) => open(sandbox, subscription, ...(values as ValuesOf<P>)),
  };
}

export const service = (methods: Record<string, Method>, streams: Record<string, Stream>): Service => ({
  methods: new Map(Object.entries(methods)),
  streams: new Map(Object.entries(streams)),
});
