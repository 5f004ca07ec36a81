/** One thing that was looked at, and how to mend it if it is not well. */
export type Finding = {
  id: string;
  status: 'ok' | 'warn' | 'fail';
  detail: string;
  fix?: string | undefined;
};
