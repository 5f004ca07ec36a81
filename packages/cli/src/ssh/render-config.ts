import { fileURLToPath } from 'node:url';
import { quoteForShell } from '../text/quote.ts';
import type { SshSetup } from './prepare.ts';

const SANDBOX_CLI = fileURLToPath(new URL('../../../../bin/sandbox-cli', import.meta.url));

/**
 * Names that mean a sandbox: `<id>.sandbox`, our ids and UUIDs. Patterns and not a command, since a command would
 * be given names that anybody wrote; a name with a quote is none of ours.
 */
const NAMES = [
  `Match originalhost "*.sandbox,!*'*"`,
  `Match originalhost "i????????????????????,!*.*,!*-*,!*_*,!*'*"`,
  `Match originalhost "????????-????-????-????-????????????,!*.*,!*_*,!*'*"`,
];

/** What OpenSSH needs for a sandbox, in the words of ssh_config(5). */
export function sshOptions({ files, host, port, alias }: SshSetup): [string, string][] {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return [
    [
      'ProxyCommand',
      `${escapePercent(quoteForShell(SANDBOX_CLI))} ssh-proxy --address ${quoteForShell(address)} '%n'`,
    ],
    ['HostKeyAlias', alias],
    ['UserKnownHostsFile', quoteForConfig(files.knownHosts)],
    ['GlobalKnownHostsFile', 'none'],
    ['StrictHostKeyChecking', 'yes'],
    ['UpdateHostKeys', 'no'],
    ['IdentityFile', quoteForConfig(files.key)],
    ['IdentitiesOnly', 'yes'],
    ['ForwardAgent', 'no'],
    ['ServerAliveInterval', '30'],
  ];
}

/** A file for OpenSSH's Include. */
export function renderConfig(setup: SshSetup): string {
  const options = [['User', 'root'], ...sshOptions(setup)].map(([name, value]) => `  ${name} ${value}`);
  return [
    '# Written by sandbox-cli ssh-config; it is replaced when that runs again.',
    ...NAMES.map((match) => ['', match, ...options].join('\n')),
    '',
  ].join('\n');
}

const escapePercent = (text: string) => text.replaceAll('%', '%%');
const quoteForConfig = (path: string) => `"${escapePercent(path)}"`;
