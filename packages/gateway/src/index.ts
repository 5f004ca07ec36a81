export type { DialLoopback } from './link.ts';
export { type SeedProxy, type SeedProxyOptions, startSeedProxy } from './seed/start-seed-proxy.ts';
export type { PublicKey, SshAccess } from './ssh/authenticate.ts';
export { type SshGateway, type SshGatewayOptions, startSshGateway } from './ssh/start-ssh-gateway.ts';
export { type Gateway, type GatewayOptions, startGateway } from './start-gateway.ts';
