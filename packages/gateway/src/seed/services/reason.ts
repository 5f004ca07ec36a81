import { SandboxError } from '@sandbox-backend/protocol';

/** Why a call to envd failed, in the words of the system calls, which is how the seed's clients know them. */
export function reasonOf(caught: unknown): string {
  const { code, message } = SandboxError.from(caught);
  if (/is a directory/.test(message)) return 'is a directory';
  if (/not a directory|is not a regular file/.test(message)) return 'not a directory';
  switch (code) {
    case 'not_found':
      return 'no such file or directory';
    case 'permission_denied':
      return 'permission denied';
    case 'no_space':
      return 'no space left on device';
    default:
      return message;
  }
}
