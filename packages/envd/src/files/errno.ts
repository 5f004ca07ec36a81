import { SandboxError } from '@sandbox-backend/protocol';

/** What a failed system call on a path means to the caller. */
export function fileError(caught: unknown, path: string): SandboxError {
  if (caught instanceof SandboxError) return caught;
  const cause = { cause: caught };
  switch ((caught as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return new SandboxError('not_found', `file not found: ${path}`, cause);
    case 'ENOTDIR':
      return new SandboxError('invalid_argument', `a part of the path is not a directory: ${path}`, cause);
    case 'EISDIR':
      return new SandboxError('invalid_argument', `path is a directory: ${path}`, cause);
    case 'ENXIO':
      return new SandboxError('invalid_argument', `path is not a regular file: ${path}`, cause);
    case 'ELOOP':
      return new SandboxError('invalid_argument', `too many symbolic links: ${path}`, cause);
    case 'ENAMETOOLONG':
      return new SandboxError('invalid_argument', `the name is too long: ${path.slice(0, 100)}…`, cause);
    case 'ENOTEMPTY':
      return new SandboxError('failed_precondition', `the directory is not empty: ${path}`, cause);
    case 'EXDEV':
      return new SandboxError(
        'failed_precondition',
        `the two paths are on different file systems: ${path}`,
        cause,
      );
    case 'EINVAL':
      return new SandboxError('invalid_argument', `the path does not allow this: ${path}`, cause);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ETXTBSY':
      return new SandboxError('permission_denied', `permission denied: ${path}`, cause);
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new SandboxError('no_space', `not enough disk space for ${path}`, cause);
    default:
      return SandboxError.from(caught);
  }
}
