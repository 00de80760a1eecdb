/** What Prometheus asks for, as text. Every value is read from the state when it is asked for; nothing is counted here. */
import { Counter, Gauge, type MetricObjectWithValues, type MetricType, Registry } from 'prom-client';
import { LoopMonitor, readOwnProcess } from '../observe/own-process.ts';
import type { Quotas } from '../observe/pressure.ts';
import { PressureGauge } from '../observe/pressure.ts';
import type { RunRecord } from '../run/run-record.ts';
import type { GatewayStatus } from '../status.ts';
import { DISTRIBUTIONS, type Distribution, METRICS, type Moment } from './metric-list.ts';

/** What makes the text. */
export interface MetricsPage {
  contentType: string;
  text(): Promise<string>;
}

/** What a gateway has to show; `close` ends the measuring of its event loop. */
export interface MetricsSource {
  read(): Promise<Moment>;
  close(): void;
}

export function metricsSource(
  status: () => GatewayStatus,
  record: () => RunRecord,
  quotas: () => Quotas,
): MetricsSource {
  const monitor = new LoopMonitor();
  const gauge = new PressureGauge(record, quotas);
  return {
    async read() {
      const pressure = await gauge.read(performance.now());
      return { status: status(), pressure, own: readOwnProcess(record(), monitor) };
    },
    close: () => monitor.close(),
  };
}

export function metricsOf(read: () => Promise<Moment>): MetricsPage {
  const registry = new Registry();
  let moment: Moment;
  for (const { name, help, kind, labels = [], rows } of METRICS) {
    const settings = { name, help, labelNames: labels, registers: [registry] };
    if (kind === 'gauge') {
      new Gauge({
        ...settings,
        collect() {
          this.reset();
          for (const [of, value] of rows(moment)) this.set(of, value);
        },
      });
    } else {
      new Counter({
        ...settings,
        collect() {
          this.reset();
          for (const [of, value] of rows(moment)) this.inc(of, value);
        },
      });
    }
  }
  for (const of of DISTRIBUTIONS) {
    // prom-client's own histogram counts; what has been counted cannot be given to it.
    const metric = { name: of.name, get: async () => histogram(of, moment.status.counters) };
    registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
  }
  // One text after the other: they share `moment`.
  let last: Promise<unknown> = Promise.resolve();
  return {
    contentType: registry.contentType,
    text() {
      const text = last.then(async () => {
        moment = await read();
        return registry.metrics();
      });
      last = text.catch(() => undefined);
      return text;
    },
  };
}

type Values = Omit<
  MetricObjectWithValues<{ labels: Record<string, string | number>; value: number; metricName: string }>,
  'collect'
>;

function histogram(
  { name, help, buckets, rest, sum }: Distribution,
  counters: Record<string, number>,
): Values {
  let count = 0;
  const values: Values['values'] = buckets.map(([bound, counter]) => {
    count += counters[counter] ?? 0;
    return { metricName: `${name}_bucket`, labels: { le: bound }, value: count };
  });
  count += rest === undefined ? 0 : (counters[rest] ?? 0);
  values.push(
    { metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels: {}, value: (counters[sum[0]] ?? 0) * sum[1] },
    { metricName: `${name}_count`, labels: {}, value: count },
  );
  return { name, help, type: 'histogram' as unknown as MetricType, aggregator: 'sum', values };
}
