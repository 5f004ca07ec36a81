import { SandboxError } from './error.ts';

/** `i` and 20 characters: the E2B form, which goes into DNS labels and paths; UUIDs are the seed's form. */
const SANDBOX_ID = /^(?:[a-z0-9]{1,40}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
const TEMPLATE_NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
const BUILD_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const KERNEL_VERSION = /^[A-Za-z0-9](?:[A-Za-z0-9.+_-]{0,62}[A-Za-z0-9])?$/;

export const isSandboxId = (text: string) => SANDBOX_ID.test(text);
export const isTemplateName = (text: string) => TEMPLATE_NAME.test(text) && !text.includes('..');
export const isBuildId = (text: string) => BUILD_ID.test(text);

/** Every id is checked before it becomes part of a path, a device name or an argument. */
export function checkSandboxId(text: string): string {
  if (isSandboxId(text)) return text;
  throw new SandboxError('invalid_argument', `${quote(text)} is not a sandbox id`, {
    hint: 'An id is 1 to 40 lower-case letters and digits, or a UUID.',
  });
}

export function checkTemplateName(text: string): string {
  if (isTemplateName(text)) return text;
  throw new SandboxError('invalid_argument', `${quote(text)} is not a template name`, {
    hint: 'A name is 1 to 64 lower-case letters, digits, dots, dashes and underscores, and begins and ends with a letter or digit.',
  });
}

export function checkBuildId(text: string): string {
  if (isBuildId(text)) return text;
  throw new SandboxError('invalid_argument', `${quote(text)} is not a build id`, {
    hint: 'A build id is a UUID.',
  });
}

export function checkKernelVersion(text: string): string {
  if (KERNEL_VERSION.test(text) && !text.includes('..')) return text;
  throw new SandboxError('invalid_argument', `${quote(text)} is not a kernel version`, {
    hint: 'It names a folder under kernels/, for example 6.12.',
  });
}

const quote = (text: string) => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
