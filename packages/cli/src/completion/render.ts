import type { Command } from 'commander';

/**
 * A shell script that completes the commands and options of the program. The words are written out,
 * so that a key press costs no start of Node; sandbox ids are not completed.
 */
export function renderCompletion(program: Command, shell: 'bash' | 'zsh'): string {
  const words = wordsByPath(program);
  const paths = [...words.keys()].filter((path) => path !== '').map((path) => `'${path}'`);
  const cases = [...words].map(([path, offered]) => `    '${path}') words='${offered.join(' ')}' ;;`);
  const script = [
    '_sandbox_cli() {',
    '  local path="" longer words="" index',
    '  for ((index = 1; index < COMP_CWORD; index++)); do',
    `    longer="\${path:+$path }\${COMP_WORDS[index]}"`,
    '    case "$longer" in',
    `      ${paths.join(' | ')}) path="$longer" ;;`,
    '    esac',
    '  done',
    '  case "$path" in',
    ...cases,
    '  esac',
    `  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))`,
    '}',
    `complete -o default -F _sandbox_cli ${program.name()}`,
  ];
  // zsh brings a translation of bash's completion; the script then is the same.
  if (shell === 'zsh') script.unshift('autoload -Uz compinit bashcompinit', 'compinit', 'bashcompinit');
  return script.join('\n');
}

/** For every command, by the words that lead to it: its sub-commands and options. */
function wordsByPath(command: Command, path = ''): Map<string, string[]> {
  const names = command.commands.flatMap((child) => [child.name(), ...child.aliases()]);
  const flags = command.options.flatMap(({ long }) => long ?? []);
  const found = new Map([[path, [...names, ...flags, '--help']]]);
  for (const child of command.commands) {
    for (const name of [child.name(), ...child.aliases()]) {
      for (const entry of wordsByPath(child, path ? `${path} ${name}` : name)) found.set(...entry);
    }
  }
  return found;
}
