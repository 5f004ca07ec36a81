import type { CommandEntry } from './command.ts';

/** Every command, in the order in which help shows them. */
export const COMMANDS: Record<string, CommandEntry> = {
  sandbox: {
    summary: 'start, use and delete sandboxes',
    commands: {
      create: {
        summary: 'start a sandbox from a template',
        load: () => import('./commands/sandbox/create.ts'),
      },
      ls: {
        summary: 'list sandboxes',
        aliases: ['list'],
        load: () => import('./commands/sandbox/ls.ts'),
      },
      info: {
        summary: 'show all that is known of a sandbox',
        load: () => import('./commands/sandbox/info.ts'),
      },
      exec: { summary: 'run a program in a sandbox', load: () => import('./commands/sandbox/exec.ts') },
      cp: { summary: 'copy files to or from a sandbox', load: () => import('./commands/sandbox/cp.ts') },
      logs: {
        summary: "show a sandbox's console and envd log",
        load: () => import('./commands/sandbox/logs.ts'),
      },
      metrics: {
        summary: 'show what a sandbox uses of CPU, memory and disk',
        load: () => import('./commands/sandbox/metrics.ts'),
      },
      snapshot: {
        summary: 'save sandboxes, to start others from them',
        load: () => import('./commands/sandbox/snapshot.ts'),
      },
      deactivate: {
        summary: 'give the memory of idle sandboxes back to the host',
        load: () => import('./commands/sandbox/deactivate.ts'),
      },
      purge: {
        summary: 'end machines that nobody looks after',
        load: () => import('./commands/sandbox/purge.ts'),
      },
      delete: {
        summary: 'end sandboxes',
        aliases: ['del', 'rm', 'kill'],
        load: () => import('./commands/sandbox/delete.ts'),
      },
    },
  },
  template: {
    summary: 'build, list and delete templates',
    commands: {
      build: {
        summary: 'build a template from its file',
        load: () => import('./commands/template/build.ts'),
      },
      ls: { summary: 'list templates', aliases: ['list'], load: () => import('./commands/template/ls.ts') },
      inspect: {
        summary: 'show all that is known of a template',
        load: () => import('./commands/template/inspect.ts'),
      },
      delete: {
        summary: 'delete a template and its builds',
        aliases: ['del', 'rm'],
        load: () => import('./commands/template/delete.ts'),
      },
    },
  },
  snapshot: {
    summary: 'list and delete snapshots',
    commands: {
      ls: { summary: 'list snapshots', aliases: ['list'], load: () => import('./commands/snapshot/ls.ts') },
      delete: {
        summary: 'delete snapshots',
        aliases: ['del', 'rm'],
        load: () => import('./commands/snapshot/delete.ts'),
      },
    },
  },
  cgroup: {
    summary: "the control group of this host's sandboxes",
    commands: {
      recreate: {
        summary: 'make it anew; what runs stays in it',
        load: () => import('./commands/cgroup/recreate.ts'),
      },
    },
  },
  network: {
    summary: 'network slots of this host',
    commands: {
      delete: {
        summary: 'take slots away that something left behind',
        aliases: ['del', 'rm'],
        load: () => import('./commands/network/delete.ts'),
      },
    },
  },
  ssh: { summary: "enter a sandbox with OpenSSH's ssh", load: () => import('./commands/ssh.ts') },
  'ssh-config': {
    summary: 'set OpenSSH up for sandboxes',
    load: () => import('./commands/ssh-config.ts'),
  },
  'ssh-proxy': {
    summary: 'join OpenSSH to a sandbox; its ProxyCommand',
    load: () => import('./commands/ssh-proxy.ts'),
  },
  doctor: { summary: 'check this host and the server', load: () => import('./commands/doctor.ts') },
  env: { summary: 'print the variables that the E2B SDKs need', load: () => import('./commands/env.ts') },
  bench: { summary: 'measure the running server', load: () => import('./commands/bench.ts') },
  completion: { summary: 'print a completion script', load: () => import('./commands/completion.ts') },
  version: { summary: 'print the version', load: () => import('./commands/version.ts') },
};
