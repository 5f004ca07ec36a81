/** How envd was started; the defaults are those of a guest. */
export type Options = {
  host: string;
  port: number;
  tunnelPort: number;
  passwdFile: string;
  groupFile: string;
  configFile: string;
  /** Where what /init said is kept, so that an envd that is started again has the same token; '' is nowhere. */
  stateFile: string;
  startLog: string;
  /** Whether /init may set the clock, the host name and the entropy of this machine. */
  system: boolean;
  /** The read-only disk with envd, its loader, busybox and setpriv. */
  agentDirectory: string;
};

const FLAGS: Record<string, keyof Options> = {
  '--host': 'host',
  '--port': 'port',
  '--tunnel-port': 'tunnelPort',
  '--passwd': 'passwdFile',
  '--group': 'groupFile',
  '--config': 'configFile',
  '--state': 'stateFile',
  '--start-log': 'startLog',
};

export function readOptions(argv: readonly string[], env: Record<string, string | undefined>): Options {
  const options: Options = {
    host: '0.0.0.0',
    port: 49983,
    tunnelPort: 49982,
    passwdFile: '/etc/passwd',
    groupFile: '/etc/group',
    configFile: '/etc/sandbox-envd.json',
    stateFile: '/run/envd.json',
    startLog: '/var/log/start_cmd.log',
    system: true,
    agentDirectory: env.ENVD_DIR || '/.envd',
  };
  for (let index = 0; index < argv.length; index++) {
    const flag = argv[index]!;
    if (flag === '--no-system') {
      options.system = false;
      continue;
    }
    const name = FLAGS[flag];
    const value = argv[++index];
    if (!name || value === undefined) throw new Error(`unknown or incomplete option ${flag}`);
    Object.assign(options, { [name]: typeof options[name] === 'number' ? Number(value) : value });
  }
  return options;
}
