/** The dashboard, the alerts and the page about metrics name what is really served, and Prometheus' own tool finds nothing to say. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ensureTools } from '../../src/cli/lab/tools.ts';
import { METRICS } from '../../src/gateway/control/metric-list.ts';
import { metricsOf } from '../../src/gateway/control/metrics.ts';
import { OBSERVED } from '../gateway/control/support.ts';

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string) => readFileSync(at(path), 'utf8');
const RULES = 'packaging/prometheus/natgate.rules.yml';

beforeAll(() => {
  ensureTools([{ binary: 'promtool', package: 'prometheus' }], () => {});
}, 300_000);

/** As they are in an expression: of histograms the series. */
const SERIES = new Set(
  METRICS.flatMap(({ name, kind }) =>
    kind === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name],
  ),
);
const namesIn = (expression: string) => expression.match(/\bnatgate_\w+/g) ?? [];

/** Labels that an expression asks about, by metric. */
function unknownLabels(expression: string): string[] {
  const own = new Set(['instance', 'job', 'le']);
  return [...expression.matchAll(/\b(natgate_\w+)\{([^}]*)\}/g)].flatMap(([, name, labels]) => {
    const metric = METRICS.find((one) => name === one.name || name!.startsWith(`${one.name}_bucket`));
    const asked = [...labels!.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label!);
    return asked.filter((label) => !own.has(label) && !(metric?.labels ?? []).includes(label));
  });
}

interface Dashboard {
  panels: { id: number; title: string; targets: { expr: string }[]; gridPos: { x: number; w: number } }[];
  templating: { list: { definition?: string }[] };
}

it('the dashboard asks for metrics and labels that are there', () => {
  const { panels, templating } = JSON.parse(read('packaging/grafana/natgate.json')) as Dashboard;
  expect(panels.length).toBeGreaterThan(12);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const expressions = [
    ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...templating.list.flatMap(({ definition }) => definition ?? []),
  ];
  for (const expression of expressions) {
    const names = namesIn(expression);
    expect(names.length, expression).toBeGreaterThan(0);
    for (const name of names) expect(SERIES, expression).toContain(name);
    expect(unknownLabels(expression), expression).toEqual([]);
  }
  for (const { title, gridPos } of panels) expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
});

it('the alerts ask for metrics that are there, and promtool accepts them', () => {
  const { groups } = parse(read(RULES)) as { groups: { rules: { alert: string; expr: string }[] }[] };
  const rules = groups.flatMap((group) => group.rules);
  expect(rules.length).toBeGreaterThan(6);
  for (const { alert, expr } of rules) {
    for (const name of namesIn(expr)) expect(SERIES, alert).toContain(name);
    expect(unknownLabels(expr), alert).toEqual([]);
  }
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', at(RULES)], {
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toContain(`${rules.length} rules found`);
});

it('promtool has nothing to say about the metrics', async () => {
  const text = await metricsOf(() => OBSERVED).text();
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
  });
  expect([status, stdout, stderr]).toEqual([0, '', '']);
});

it('the page has each metric with its kind, labels and meaning, and no other', () => {
  const rows = [...read('docs/metrics.md').matchAll(/^\| `(natgate_\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$/gm)];
  expect(rows.map(([, ...cells]) => cells)).toEqual(
    METRICS.map(({ name, kind, labels = [], help }) => [
      name,
      kind,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
    ]),
  );
});
