/** A metric with its samples; names and units as Prometheus has them, for example `…_duration_seconds`. */
export type MetricFamily = { name: string; help: string } & (
  | { type: 'counter' | 'gauge'; samples: MetricSample[] }
  | { type: 'histogram'; samples: HistogramSample[] }
);

export type MetricLabels = Readonly<Record<string, string>>;

export type MetricSample = { labels?: MetricLabels; value: number };

export type HistogramSample = {
  labels?: MetricLabels;
  /** Inclusive upper bounds, ascending; `counts` has one more, for what is above the last. */
  bounds: readonly number[];
  counts: readonly number[];
  sum: number;
};

export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Writes metrics in the text format of Prometheus. Label values may be anything; names are the code's own. */
export function prometheusText(families: readonly MetricFamily[]): string {
  return families
    .flatMap((family) => [...head(family), ...lines(family)].map((line) => `${line}\n`))
    .join('');
}

const head = ({ name, help, type }: MetricFamily) => [
  `# HELP ${name} ${escapeHelp(help)}`,
  `# TYPE ${name} ${type}`,
];

function lines(family: MetricFamily): string[] {
  const { name } = family;
  if (family.type !== 'histogram') {
    return family.samples.map(({ labels, value }) => line(name, labels, value));
  }
  return family.samples.flatMap(({ labels, bounds, counts, sum }) => {
    let below = 0;
    const buckets = counts.map((count, index) => {
      below += count;
      return line(`${name}_bucket`, { ...labels, le: number(bounds[index] ?? Infinity) }, below);
    });
    return [...buckets, line(`${name}_sum`, labels, sum), line(`${name}_count`, labels, below)];
  });
}

function line(name: string, labels: MetricLabels | undefined, value: number): string {
  const pairs = Object.entries(labels ?? {}).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${number(value)}`;
}

const number = (value: number) =>
  value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value);

const escapeHelp = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
/** A carriage return is legal in a value, and would end the line for many readers. */
const escapeLabel = (text: string) => escapeHelp(text).replaceAll('"', '\\"').replaceAll('\r', '');
