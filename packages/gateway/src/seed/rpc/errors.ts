/** An error of the protocol, with its code and the words that clients know. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export const parseError = (message: string) => new RpcError(-32700, message);
export const invalidRequest = (message: string) => new RpcError(-32600, message);
export const invalidParams = (message: string) => new RpcError(-32602, message);
export const methodNotFound = (method: string) =>
  new RpcError(-32601, `the method ${method} does not exist/is not available`);
export const subscriptionNotFound = (name: string, service: string) =>
  new RpcError(-32601, `no ${JSON.stringify(name)} subscription in ${service} namespace`);
/** What a service answers when it cannot do what was asked. */
export const failed = (message: string) => new RpcError(-32000, message);
export const handlerCrashed = () => new RpcError(-32603, 'method handler crashed');
