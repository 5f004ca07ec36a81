export type { DialLoopback } from './link.ts';
export { type Gateway, type GatewayOptions, startGateway } from './start-gateway.ts';
