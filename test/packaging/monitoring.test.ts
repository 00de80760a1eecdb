/** The dashboard and the alerts ask for metrics and labels that there are, and Prometheus takes the rules. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ensureTools, findTool } from '../../src/cli/lab/tools.ts';
import { DISTRIBUTIONS, METRICS } from '../../src/gateway/control/metric-list.ts';

const file = (name: string) => fileURLToPath(new URL(`../../packaging/${name}`, import.meta.url));
const RULES = file('prometheus/natgate.rules.yml');
const dashboard = JSON.parse(readFileSync(file('grafana/natgate.json'), 'utf8'));
const { groups } = parse(readFileSync(RULES, 'utf8'));

/** By name, the labels. */
const known = new Map<string, string[]>(METRICS.map(({ name, labels = [] }) => [name, labels]));
for (const { name } of DISTRIBUTIONS) {
  known.set(`${name}_bucket`, ['le']);
  known.set(`${name}_sum`, []);
  known.set(`${name}_count`, []);
}
/** What Prometheus adds. */
const ADDED = ['instance', 'job'];

/** Names that an expression asks for, and labels that it, or a legend of it, names. */
function unknownIn(expression: string, legend = ''): string[] {
  const names = expression.match(/natgate_[a-z0-9_]+/g) ?? [];
  const labels = new Set([...names.flatMap((name) => known.get(name) ?? []), ...ADDED]);
  const asked = [
    ...[...expression.matchAll(/[{,]\s*([a-z]+)\s*(?:=~|!~|!=|=)/g)].map((match) => match[1]!),
    ...[...expression.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap((match) =>
      match[1]!.split(/,\s*/),
    ),
    ...[...legend.matchAll(/\{\{\s*(?:\$labels\.)?([a-z]+)\s*\}\}/g)].map((match) => match[1]!),
  ];
  return [...names.filter((name) => !known.has(name)), ...asked.filter((label) => !labels.has(label))];
}

interface Panel {
  id: number;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets: { expr: string; legendFormat: string; datasource: { uid: string } }[];
}
const panels: Panel[] = dashboard.panels;

beforeAll(() => {
  ensureTools([{ binary: 'promtool', package: 'prometheus' }], (line) => console.log(line));
}, 300_000);

test('would find a name that there is not', () => {
  expect(unknownIn('sum by (proto) (natgate_flows)', '{{proto}}')).toEqual([]);
  expect(unknownIn('rate(natgate_flow{proto="tcp"}[5m])')).toEqual(['natgate_flow', 'proto']);
  expect(unknownIn('natgate_flows{protocol="tcp"}', '{{side}}')).toEqual(['protocol', 'side']);
});

test('the dashboard asks for what there is', () => {
  expect(panels.length).toBeGreaterThan(12);
  for (const { title, targets } of panels) {
    expect(targets.length, title).toBeGreaterThan(0);
    for (const { expr, legendFormat } of targets) {
      expect(expr, title).toMatch(/natgate_/);
      expect(unknownIn(expr, legendFormat), title).toEqual([]);
    }
  }
  for (const { definition } of dashboard.templating.list.slice(1)) expect(unknownIn(definition)).toEqual([]);
});

test('the dashboard can be imported anywhere: no data source of somebody’s, no panel over another', () => {
  expect(dashboard.id).toBeUndefined();
  expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(36);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  for (const { targets } of panels)
    for (const { datasource } of targets) expect(datasource.uid).toBe(`\${datasource}`);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24);
});

test('the alerts ask for what there is, and say what to do', () => {
  const rules = groups.flatMap((group: { rules: unknown[] }) => group.rules);
  expect(rules.length).toBeGreaterThan(5);
  for (const { alert, expr, labels, annotations } of rules) {
    expect(unknownIn(expr, Object.values(annotations).join(' ')), alert).toEqual([]);
    expect(labels.severity, alert).toMatch(/^(warning|critical)$/);
    expect(annotations.summary.length * annotations.description.length, alert).toBeGreaterThan(0);
  }
});

test('promtool takes the rules, and every expression of the dashboard', () => {
  const check = (path: string) =>
    spawnSync(findTool('promtool')!, ['check', 'rules', path], { encoding: 'utf8' });
  expect(check(RULES)).toMatchObject({ status: 0, stderr: '' });
  const rules = panels
    .flatMap(({ targets }) => targets)
    .map(({ expr }, i) => ({
      record: `panel:${i}`,
      expr: expr.replaceAll(/\$__(rate_interval|range)/g, '5m').replaceAll('$instance', '.+'),
    }));
  const folder = mkdtempSync(join(tmpdir(), 'natgate-rules-'));
  try {
    const path = join(folder, 'panels.yml');
    writeFileSync(path, JSON.stringify({ groups: [{ name: 'panels', rules }] }));
    expect(check(path)).toMatchObject({ status: 0, stderr: '' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
