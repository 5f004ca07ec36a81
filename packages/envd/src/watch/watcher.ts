import type { FilesystemEvent, Watch } from './watch.ts';

/** A watch whose events are asked for from time to time. */
export type Watcher = { watch: Watch; events: FilesystemEvent[]; usedAt: number };
