import type { Mutex } from '@sandbox-backend/kit';
import type { HeldMachine } from '@sandbox-backend/machines';
import type { BuildManifest, RunningSandbox } from '@sandbox-backend/protocol';

/** A sandbox that runs on this host, with the machine it holds. */
export type Resident = {
  info: RunningSandbox;
  held: HeldMachine;
  manifest: BuildManifest;
  /** What saves it or takes from it, one after the other. Its end waits for neither. */
  alone: Mutex;
};

/** By sandbox id. */
export type Residents = Map<string, Resident>;
