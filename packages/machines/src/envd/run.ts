import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { checkEnvd, requestEnvd } from './request.ts';

export type GuestCommand = {
  cmd: string;
  args: string[];
  user?: string;
  cwd?: string;
  env?: Record<string, string>;
};
export type GuestResult = { exitCode: number; stdout: string; stderr: string };

type ProcessEvent = {
  event?: {
    data?: { stdout?: string; stderr?: string };
    end?: { exitCode?: number; status?: string };
  };
  error?: { code?: string; message?: string };
};

/** Runs a program in the guest to its end and returns its output (Connect-JSON `process.Process/Start`). */
export async function runInGuest(
  op: Operation,
  address: string,
  command: GuestCommand,
  accessToken?: string,
): Promise<GuestResult> {
  const message = Buffer.from(
    JSON.stringify({
      process: { cmd: command.cmd, args: command.args, cwd: command.cwd, envs: command.env ?? {} },
      stdin: false,
    }),
  );
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(message.length, 1);
  const response = await requestRaw(
    op,
    address,
    Buffer.concat([envelope, message]),
    command.user,
    accessToken,
  );
  return collect(response);
}

async function requestRaw(
  op: Operation,
  address: string,
  body: Buffer,
  user: string | undefined,
  token?: string,
) {
  const { status, body: answer } = await requestEnvd(address, {
    method: 'POST',
    path: '/process.Process/Start',
    signal: op.signal,
    accessToken: token,
    rawBody: body,
    headers: {
      'content-type': 'application/connect+json',
      'connect-protocol-version': '1',
      ...(user ? { authorization: `Basic ${Buffer.from(`${user}:`).toString('base64')}` } : {}),
    },
  });
  checkEnvd({ status, body: answer }, 'to start a process');
  return answer;
}

function collect(stream: Buffer): GuestResult {
  const result: GuestResult = { exitCode: -1, stdout: '', stderr: '' };
  for (let offset = 0; offset + 5 <= stream.length; ) {
    const length = stream.readUInt32BE(offset + 1);
    const { event, error } = JSON.parse(
      stream.toString('utf8', offset + 5, offset + 5 + length),
    ) as ProcessEvent;
    offset += 5 + length;
    if (error) throw new SandboxError('internal', `envd: ${error.code ?? 'error'}: ${error.message ?? ''}`);
    if (event?.data?.stdout) result.stdout += Buffer.from(event.data.stdout, 'base64').toString('utf8');
    if (event?.data?.stderr) result.stderr += Buffer.from(event.data.stderr, 'base64').toString('utf8');
    if (event?.end) result.exitCode = event.end.exitCode ?? 0;
  }
  return result;
}
