import type { HistogramSample, MetricFamily, MetricLabels, MetricSample } from '@sandbox-backend/kit';

/** Of one metric. Users name templates, so that their number must have a bound. */
const MAX_SERIES = 1000;
/** What all share that come after the last. */
const OVERFLOW: MetricLabels = { overflow: 'true' };

export type Registry = ReturnType<typeof createRegistry>;

/** Counters and histograms since the start of the process: the one source of Prometheus and OTLP. */
export function createRegistry() {
  const families: MetricFamily[] = [];

  return {
    counter(name: string, help: string) {
      const samples: MetricSample[] = [];
      families.push({ name, help, type: 'counter', samples });
      const at = series(samples, (labels) => ({ labels, value: 0 }));
      return (labels: MetricLabels) => void at(labels).value++;
    },

    histogram(name: string, help: string, bounds: readonly number[]) {
      const samples: (HistogramSample & { counts: number[] })[] = [];
      families.push({ name, help, type: 'histogram', samples });
      const at = series(samples, (labels) => {
        const counts = Array.from({ length: bounds.length + 1 }, () => 0);
        return { labels, bounds, counts, sum: 0 };
      });
      return (labels: MetricLabels, value: number) => {
        const sample = at(labels);
        const index = bounds.findIndex((bound) => value <= bound);
        sample.counts[index < 0 ? bounds.length : index]!++;
        sample.sum += value;
      };
    },

    families: (): readonly MetricFamily[] => families,
  };
}

function series<T>(samples: T[], make: (labels: MetricLabels) => T): (labels: MetricLabels) => T {
  const known = new Map<string, T>();
  return (labels) => {
    const found = known.get(JSON.stringify(labels));
    if (found) return found;
    const used = known.size < MAX_SERIES ? labels : OVERFLOW;
    const key = JSON.stringify(used);
    const sample = known.get(key) ?? make(used);
    if (!known.has(key)) samples.push(sample);
    known.set(key, sample);
    return sample;
  };
}
