import type { AuthContext, Connection, PublicKeyAuthContext } from 'ssh2';
import ssh2 from 'ssh2';
import type { Entrance } from './entrance.ts';
import { type Login, readLogin } from './login.ts';

export type PublicKey = { algorithm: string; data: Buffer };

/** Who may enter. Both answer false for a sandbox that there is not, and take as long for it as for any other. */
export type SshAccess = {
  hasKey(sandboxId: string, key: PublicKey): boolean;
  hasToken(sandboxId: string, token: string): boolean;
};

/** A client with an agent offers all its keys, one after the other. */
const MAX_ATTEMPTS = 20;
const MAX_TOKENS = 6;
const METHODS: ('publickey' | 'password' | 'keyboard-interactive')[] = [
  'publickey',
  'password',
  'keyboard-interactive',
];
/** Asked about when a name makes no sense, so that it costs what every other name does. */
const NOBODY: Login = { sandboxId: 'nobody', user: undefined };

/** Lets the client in with a key of the sandbox's owner or a token of the sandbox; resolves with where it may go. */
export function authenticate(client: Connection, entrance: Entrance, access: SshAccess): Promise<Login> {
  return new Promise((resolve) => {
    let attempts = 0;
    let tokens = 0;
    client.on('authentication', (context: AuthContext) => {
      attempts += 1;
      if (attempts > MAX_ATTEMPTS || tokens >= MAX_TOKENS) return void client.end();
      const named = readLogin(context.username, entrance.sandboxId);
      const login = named ?? NOBODY;
      const decide = (allowed: boolean) => {
        if (!allowed || !named) return context.reject(METHODS);
        resolve(named);
        context.accept();
      };
      switch (context.method) {
        case 'publickey': {
          const known = access.hasKey(login.sandboxId, {
            algorithm: context.key.algo,
            data: context.key.data,
          });
          // Without a signature the client only asks whether the key would do.
          if (!context.signature) return known && named ? context.accept() : context.reject(METHODS);
          return decide(hasSigned(context) && known);
        }
        case 'password':
          tokens += 1;
          // A request to change a password has two of them.
          return decide(isToken(context.password) && access.hasToken(login.sandboxId, context.password));
        case 'keyboard-interactive':
          tokens += 1;
          return context.prompt([{ prompt: 'Token of the sandbox: ', echo: false }], (answers) =>
            decide(isToken(answers?.[0]) && access.hasToken(login.sandboxId, answers[0])),
          );
        default:
          return context.reject(METHODS);
      }
    });
  });
}

const isToken = (given: unknown): given is string => typeof given === 'string' && given.length <= 256;

/** SHA-1 and DSA do not count as signatures any more. */
function hasSigned({
  key,
  blob,
  signature,
  hashAlgo,
}: PublicKeyAuthContext & { hashAlgo?: string }): boolean {
  if (key.algo === 'ssh-dss' || (key.algo === 'ssh-rsa' && hashAlgo === undefined)) return false;
  const parsed = ssh2.utils.parseKey(key.data);
  if (parsed instanceof Error || parsed.type !== key.algo || !blob || !signature) return false;
  return parsed.verify(blob, signature, hashAlgo) === true;
}
