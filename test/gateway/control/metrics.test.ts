/** The text of /metrics: what is counted, in the form that Prometheus's own programs take, and as docs/metrics.md lists it. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ensureTools, findTool } from '../../../src/cli/lab/tools.ts';
import { DISTRIBUTIONS, METRICS } from '../../../src/gateway/control/metric-list.ts';
import { metricsOf } from '../../../src/gateway/control/metrics.ts';
import { MOMENT } from './support.ts';

const text = () => metricsOf(async () => MOMENT).text();

test('the table of docs/metrics.md is what is served, with the help of each', async () => {
  const page = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `natgate_'));
  const all = [
    ...METRICS.map(({ name, kind, labels = [], help }) => ({ name, kind, labels, help })),
    ...DISTRIBUTIONS.map(({ name, help }) => ({ name, kind: 'histogram', labels: [], help })),
  ];
  const expected = all.map(({ name, kind, labels, help }) => {
    const named = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${kind} | ${named} | ${help} |`;
  });
  expect(rows).toEqual(expected);
  const served = [...(await text()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(
    ([, name, kind]) => `${name} ${kind}`,
  );
  expect(served).toEqual(all.map(({ name, kind }) => `${name} ${kind}`));
});

test('docs/metrics.md names every why of an end, and no other', async () => {
  const page = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  const sentence = /`why` of\s+`natgate_flows_ended_total` is ([^.]*)\./.exec(page)![1]!;
  const listed = [...sentence.matchAll(/`([a-z_]+)`/g)].map(([, name]) => name);
  const served = [...(await text()).matchAll(/^natgate_flows_ended_total\{why="([a-z_]+)"\}/gm)];
  expect(served.map(([, name]) => name)).toEqual(listed);
});

test('every metric has a value where there is something to show', async () => {
  const lines = (await text()).split('\n');
  for (const { name } of METRICS) {
    expect(
      lines.filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`)).length,
      name,
    ).toBeGreaterThan(0);
  }
  for (const line of [
    'natgate_ports_limit{outside="203.0.113.1",proto="tcp"} 32768',
    'natgate_port_exhausted_total{outside="203.0.113.1",proto="tcp"} 3',
    'natgate_client_refused_total{client="10.0.0.2",rule="masquerade",reason="no_free_port"} 3',
    'natgate_destination_ports{outside="203.0.113.1",proto="tcp",destination="198.51.100.7:443"} 2',
    'natgate_rx_overruns_total{device="natgate-eth1"} 6',
    'natgate_engine_starts_total 2',
    'natgate_hash_rekeys_total 3',
  ])
    expect(lines).toContain(line);
});

test('buckets add up, and the last has all', async () => {
  const lines = (await text()).split('\n');
  for (const line of [
    'natgate_batch_packets_bucket{le="1"} 4',
    'natgate_batch_packets_bucket{le="32"} 4',
    'natgate_batch_packets_bucket{le="64"} 6',
    'natgate_batch_packets_bucket{le="+Inf"} 6',
    'natgate_batch_packets_sum 132',
    'natgate_batch_packets_count 6',
    'natgate_turn_seconds_bucket{le="0.000004"} 0',
    'natgate_turn_seconds_bucket{le="0.000008"} 5',
    'natgate_turn_seconds_bucket{le="0.016384"} 5',
    'natgate_turn_seconds_bucket{le="+Inf"} 6',
    'natgate_turn_seconds_sum 0.02004',
  ])
    expect(lines).toContain(line);
});

test('promtool has nothing to say about it', async () => {
  ensureTools([{ binary: 'promtool', package: 'prometheus' }], () => {});
  const result = spawnSync(findTool('promtool')!, ['check', 'metrics'], {
    input: await text(),
    encoding: 'utf8',
  });
  expect(result).toMatchObject({ status: 0, stdout: '', stderr: '' });
}, 300_000);
