import { type HrTime, ValueType } from '@opentelemetry/api';
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from '@opentelemetry/sdk-metrics';
import type { MetricFamily, MetricLabels } from '@sandbox-backend/kit';

const SCOPE = { name: 'sandbox-backend' };

/** Hands our metrics to OpenTelemetry as they are: cumulative since the start of the process, under the same names. */
export function metricProducer(
  read: () => Promise<readonly MetricFamily[]>,
  resource: Awaited<ReturnType<MetricProducer['collect']>>['resourceMetrics']['resource'],
): MetricProducer {
  return {
    async collect() {
      const metrics = (await read()).filter(({ samples }) => samples.length > 0).map(metricData);
      return { resourceMetrics: { resource, scopeMetrics: [{ scope: SCOPE, metrics }] }, errors: [] };
    },
  };
}

function metricData(family: MetricFamily): MetricData {
  const { name, help, type } = family;
  const base = {
    descriptor: { name, description: help, unit: unitOf(name), valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  const point = timedPoint();
  if (type === 'histogram') {
    const dataPoints = family.samples.map(({ labels, bounds, counts, sum }) => {
      const count = counts.reduce((total, one) => total + one, 0);
      return point(labels, { buckets: { boundaries: [...bounds], counts: [...counts] }, sum, count });
    });
    return { ...base, dataPointType: DataPointType.HISTOGRAM, dataPoints };
  }
  const dataPoints = family.samples.map(({ labels, value }) => point(labels, value));
  return type === 'counter'
    ? { ...base, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
    : { ...base, dataPointType: DataPointType.GAUGE, dataPoints };
}

function timedPoint() {
  const startTime = hrTime(performance.timeOrigin);
  const endTime = hrTime(Date.now());
  return <T>(labels: MetricLabels = {}, value: T): DataPoint<T> => ({
    startTime,
    endTime,
    attributes: labels,
    value,
  });
}

const hrTime = (ms: number): HrTime => [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];

/** In UCUM, from the name. */
function unitOf(name: string): string {
  if (/_seconds(_total)?$/.test(name)) return 's';
  return name.endsWith('_bytes') ? 'By' : '1';
}
