/** A socket as the seed's clients know it. Whose process it is, which they do not read, is not found out. */
export type SocketRow = {
  User: string;
  Name: string;
  Pid: string;
  Exe: string;
  State: string;
  Ip: string;
  Port: number;
  ForeignIp: string;
  ForeignPort: number;
};

const STATES: Record<string, string> = {
  '01': 'ESTABLISHED',
  '02': 'SYN_SENT',
  '03': 'SYN_RECV',
  '04': 'FIN_WAIT1',
  '05': 'FIN_WAIT2',
  '06': 'TIME_WAIT',
  '07': 'CLOSE',
  '08': 'CLOSE_WAIT',
  '09': 'LAST_ACK',
  '0A': 'LISTEN',
  '0B': 'CLOSING',
};
/** For one message, and far beyond what a guest has. */
const MAX_ROWS = 4096;

/** Reads `/proc/net/tcp`, with the names of users from `/etc/passwd`; a line that is no socket is left out. */
export function parseSockets(table: string, passwd: string): SocketRow[] {
  const users = new Map(
    passwd.split('\n').map((line) => {
      const [name = '', , uid = ''] = line.split(':');
      return [uid, name];
    }),
  );
  const rows: SocketRow[] = [];
  for (const line of table.split('\n')) {
    const match =
      /^\s*\d+: ([0-9A-F]{8}):([0-9A-F]{4}) ([0-9A-F]{8}):([0-9A-F]{4}) ([0-9A-F]{2}) \S+ \S+ \S+\s+(\d+)/.exec(
        line,
      );
    if (!match || rows.length >= MAX_ROWS) continue;
    const [, ip, port, foreignIp, foreignPort, state, uid] = match as unknown as string[];
    rows.push({
      User: users.get(uid!) ?? uid!,
      Name: '',
      Pid: '',
      Exe: '',
      State: STATES[state!] ?? 'UNKNOWN',
      Ip: addressOf(ip!),
      Port: Number.parseInt(port!, 16),
      ForeignIp: addressOf(foreignIp!),
      ForeignPort: Number.parseInt(foreignPort!, 16),
    });
  }
  return rows;
}

/** The kernel prints an address as one number of its own byte order, which is the little-endian one. */
const addressOf = (hex: string) => Buffer.from(hex, 'hex').reverse().join('.');
