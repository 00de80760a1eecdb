/** What Prometheus asks for, as text. Every value is read when it is asked for; nothing is counted here. */
import { Counter, Gauge, type Metric as PromMetric, Registry } from 'prom-client';
import type { Classes } from '../../engine/counters.ts';
import { METRICS, type Observed } from './metric-list.ts';

/** The content type, and what makes the text. Rejects with what `observe` throws. */
export function metricsOf(observe: () => Observed): { contentType: string; text(): Promise<string> } {
  const registry = new Registry();
  let now: Observed;
  for (const metric of METRICS) {
    const { name, help, labels = [] } = metric;
    const settings = { name, help, labelNames: labels, registers: [registry] };
    if (metric.kind === 'histogram') {
      registry.registerMetric(histogram(name, help, () => metric.classes(now)));
    } else if (metric.kind === 'gauge') {
      new Gauge({
        ...settings,
        collect() {
          this.reset();
          for (const [of, value] of metric.rows(now)) this.set(of, value);
        },
      });
    } else {
      new Counter({
        ...settings,
        collect() {
          this.reset();
          for (const [of, value] of metric.rows(now)) this.inc(of, value);
        },
      });
    }
  }
  return {
    contentType: registry.contentType,
    async text() {
      now = observe();
      return registry.metrics();
    },
  };
}

/** Prom-client's own histograms observe values one by one; these have been counted elsewhere. */
function histogram(name: string, help: string, read: () => Classes): PromMetric {
  const metric = {
    name,
    reset() {},
    async get() {
      const { bounds, counts, sum } = read();
      let below = 0;
      const buckets = bounds.map((bound, i) => {
        below += counts[i]!;
        return { metricName: `${name}_bucket`, labels: { le: bound }, value: below };
      });
      const finite = buckets.filter(({ labels }) => Number.isFinite(labels.le));
      const values = [
        ...finite,
        { metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: below },
        { metricName: `${name}_sum`, labels: {}, value: sum },
        { metricName: `${name}_count`, labels: {}, value: below },
      ];
      return { name, help, type: 'histogram', aggregator: 'sum', values };
    },
  };
  return metric as unknown as PromMetric;
}
