export { authenticate } from './auth/authenticate.ts';
export { ensureDefaultKey } from './auth/default-key.ts';
export { createKey, listKeys, revokeKey } from './auth/keys.ts';
export { type Api, type ApiOptions, createApi } from './create-api.ts';
export { keyRows, type Team } from './db/keys.ts';
export { openDatabase } from './db/open.ts';
export {
  type SeedControl,
  type SeedControlOptions,
  startSeedControl,
} from './dialects/seed/start-seed-control.ts';
export { type ApiServer, type Listen, serveApi } from './serve.ts';
export { createFakeNode, type FakeNode, type FakeNodeOptions } from './testing/fake-node.ts';
