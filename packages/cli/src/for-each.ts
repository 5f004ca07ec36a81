import { reportError } from './report-error.ts';
import { print, printJson } from './text/print.ts';

/**
 * Does the same with each item, one after the other. One that fails is reported, does not stop the others, and makes
 * the command fail. With `--json` one object is printed at the end, which has the results under the name.
 */
export async function forEach<Item>(
  items: readonly Item[],
  options: { json?: true },
  each: { result: string; act(item: Item): Promise<{ value: unknown; text: string }> },
): Promise<void> {
  const values: unknown[] = [];
  for (const item of items) {
    try {
      const { value, text } = await each.act(item);
      values.push(value);
      if (!options.json) print(text);
    } catch (caught) {
      process.exitCode = reportError(caught, { json: options.json === true, verbose: false });
    }
  }
  if (options.json) printJson({ [each.result]: values });
}
