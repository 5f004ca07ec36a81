import type { HeldMachine } from '@sandbox-backend/machines';
import type { BuildManifest, RunningSandbox } from '@sandbox-backend/protocol';

/** A sandbox that runs on this host, with the machine it holds. */
export type Resident = { info: RunningSandbox; held: HeldMachine; manifest: BuildManifest };

/** By sandbox id. */
export type Residents = Map<string, Resident>;
