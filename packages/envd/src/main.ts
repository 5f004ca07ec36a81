import { readIdentity } from './config.ts';
import type { Guest } from './guest.ts';
import { route } from './http/route.ts';
import { logLine } from './log.ts';
import { readOptions } from './options.ts';
import { ProcessTable } from './processes/table.ts';
import { serveHttp, warmLibC } from './runtime.ts';
import { serveTunnel } from './tunnel.ts';
import { Users } from './users/users.ts';

// A failure of one request must not end the daemon that all others hang on.
process.on('uncaughtException', (error) => logLine(`${error.stack ?? error}`));
process.on('unhandledRejection', (reason) => logLine(`${reason instanceof Error ? reason.stack : reason}`));

const options = readOptions(process.argv.slice(2), process.env);
const guest: Guest = {
  options,
  users: new Users(options.passwdFile, options.groupFile),
  processes: new ProcessTable(),
  watchers: new Map(),
  identity: readIdentity(options.configFile, options.stateFile),
};
const http = serveHttp(options, (request, peer) => route(guest, request, peer));
const tunnel = serveTunnel(guest);
// Port 0 is any free port: whoever asked for one reads below which it is.
options.port = http.port;
options.tunnelPort = tunnel.port;
warmLibC();
logLine(`listening on ${http.port}, tunnel on ${tunnel.port}`);
