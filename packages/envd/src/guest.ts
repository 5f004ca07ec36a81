import type { Options } from './options.ts';
import type { ProcessTable } from './processes/table.ts';
import type { Users } from './users/users.ts';
import type { Watcher } from './watch/watcher.ts';

/** What `/init` says about the sandbox that this guest is. */
export type Identity = {
  accessToken: string | undefined;
  env: Record<string, string>;
  defaultUser: string;
  defaultWorkdir: string | undefined;
  sandboxId: string | undefined;
  templateId: string | undefined;
  eventsAddress: string | undefined;
};

/** Everything that envd knows; one per daemon, made by main.ts and handed to every verb. */
export type Guest = {
  readonly options: Options;
  readonly users: Users;
  readonly processes: ProcessTable;
  readonly watchers: Map<string, Watcher>;
  identity: Identity;
};
