import { type Column, renderTable } from '../text/table.ts';
import { type Measurement, type Summary, summarize } from './measurement.ts';
import type { BenchReport } from './run-bench.ts';

type Row = { name: string; unit: string; summary: Summary };

/** The report as a table for people, with the phases of a measurement below it. */
export function renderReport(report: BenchReport): string {
  const { template, count } = report.options;
  const about = [
    `template ${template}, ${count} rounds, ${report.at}`,
    `client: ${report.client.cpus} × ${report.client.cpu}, Linux ${report.client.kernel}`,
    `VMM: ${report.vmm ?? 'not told by the server'}`,
  ];
  const notes = report.measurements.flatMap(notesOf);
  const table = renderTable(COLUMNS, report.measurements.flatMap(rowsOf));
  return [...about, '', table, ...(notes.length > 0 ? ['', ...notes] : [])].join('\n');
}

function rowsOf(measurement: Measurement): Row[] {
  if ('notMeasured' in measurement) return [];
  const { name, unit, summary, phases } = measurement;
  const below = Object.entries(phases ?? {}).map(([phase, samples]) => ({
    name: `  ${phase}`,
    unit: 'ms',
    summary: summarize(samples),
  }));
  return [{ name, unit, summary }, ...below];
}

function notesOf(measurement: Measurement): string[] {
  if ('notMeasured' in measurement) return [`${measurement.name}: not measured: ${measurement.notMeasured}`];
  const { name, failures } = measurement;
  return failures ? [`${name}: ${failures.length} failed, the first with: ${failures[0]}`] : [];
}

const number = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));

const COLUMNS: Column<Row>[] = [
  { title: 'measured', value: ({ name }) => name },
  { title: 'unit', value: ({ unit }) => unit },
  { title: 'p50', value: ({ summary }) => number(summary.p50), align: 'right' },
  { title: 'p95', value: ({ summary }) => number(summary.p95), align: 'right' },
  { title: 'min', value: ({ summary }) => number(summary.min), align: 'right' },
  { title: 'max', value: ({ summary }) => number(summary.max), align: 'right' },
  { title: 'n', value: ({ summary }) => String(summary.n), align: 'right' },
];
