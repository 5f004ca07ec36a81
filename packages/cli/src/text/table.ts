import { stripVTControlCharacters } from 'node:util';
import { printable } from './printable.ts';

export type Column<Row> = { title: string; value: (row: Row) => string; align?: 'left' | 'right' };

/** Lines of a table under upper-case titles; the last column is not padded. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  const lines = [columns.map((column) => column.title.toUpperCase()), ...cells];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => width(line[index]!))));
  return lines
    .map((line) =>
      line
        .map((cell, index) => {
          const space = ' '.repeat(widths[index]! - width(cell));
          return columns[index]!.align === 'right' ? space + cell : cell + space;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A list of names and values, one a line. */
export function renderFields(fields: Record<string, string | undefined>): string {
  const shown = Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined);
  const longest = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(longest)}  ${printable(value)}`).join('\n');
}

const width = (text: string) => [...stripVTControlCharacters(text)].length;
