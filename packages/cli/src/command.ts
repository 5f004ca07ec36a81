import type { Command } from 'commander';

/** A file in commands/: adds the command's arguments, options and action. Loaded only when it is called. */
export type CommandModule = { declare(command: Command): void };

export type CommandEntry = {
  summary: string;
  aliases?: readonly string[];
  load?: () => Promise<CommandModule>;
  commands?: Record<string, CommandEntry>;
};
