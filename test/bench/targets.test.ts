import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { conclusions, unexplained, writeTargets } from '../../bench/conclusions.ts';
import type { EngineResults } from '../../bench/engine/results.ts';
import { summarise } from '../../bench/net/summary.ts';
import type { Reading } from '../../bench/net/types.ts';
import { Page } from '../../bench/page.ts';
import { type Judged, judge, type Measured, type Results, targetTable } from '../../bench/targets.ts';

type Values = Record<string, (number | string)[]>;

/** `workload contender`: a value for each round, or what went wrong. */
function net(values: Values): NonNullable<Results['net']> {
  const readings = Object.entries(values).flatMap(([key, list]) =>
    list.map((value, i): Reading => {
      const [workload, contender] = key.split(' ') as [string, string];
      const result = typeof value === 'number' ? { value } : { error: value };
      return { round: i + 1, contender, workload, ...result };
    }),
  );
  return { ...summarise(readings, 'kernel'), readings };
}

const machine = {
  ...{ cpu: 'A CPU', cores: 2, memoryGiB: 4, kernel: '6.1.0', node: '20.19.0' },
  ...{ commit: '0123456789ab', date: '2030-01-02', packages: [] },
};

const ns = (median: number) => ({ median, fastest: median, slowest: median, readings: 1 });
const engine: EngineResults = {
  ...{ command: 'npm run bench', machine, functions: [], failures: [] },
  packets: [
    {
      name: 'udp-1000 random small',
      protocol: 'udp',
      flows: 1000,
      order: 'random',
      size: 'small',
      ns: ns(50),
    },
    {
      ...{ name: 'udp-4000000 random small', protocol: 'udp', flows: 4_000_000 },
      ...{ order: 'random', size: 'small', ns: ns(120) },
    },
    {
      name: 'tcp-1000 random small',
      protocol: 'tcp',
      flows: 1000,
      order: 'random',
      size: 'small',
      ns: ns(250),
    },
    {
      ...{ name: 'tcp-4000000 random small', protocol: 'tcp', flows: 4_000_000 },
      ...{ order: 'random', size: 'small', ns: ns(300) },
    },
  ],
  creation: [
    { name: 'udp-1000000', protocol: 'udp', flows: 1_000_000, own: false, ns: ns(250) },
    { name: 'tcp-1000000', protocol: 'tcp', flows: 1_000_000, own: false, ns: ns(500) },
  ],
  memory: [{ protocol: 'tcp', flows: 1_000_000, own: false, bytesPerFlow: 100 }],
  rules: [],
  adoption: [],
  ...{ measuredPackets: 20_000_000, collections: 1, collectionsMaking: 3 },
};

function find(results: Results, figure: string): Judged {
  return judge(results).find(({ target }) => target.figure === figure)!;
}

const value = (measured: Measured) => ('value' in measured ? measured.value : measured.missing);

describe('judge', () => {
  it('takes the median of the ratios within the rounds', () => {
    const results = { net: net({ 'tcp-out natgate': [5, 10, 18], 'tcp-out kernel': [10, 40, 20] }) };
    const { measured, reached } = find(results, 'TCP, one stream out');
    expect(value(measured)).toBe(0.5);
    expect(reached).toBe('no');
  });

  it.each([
    [9.4, 'no'],
    [9.5, 'yes'],
    [10.5, 'aim'],
  ])('says of a ratio of %s tenths: %s', (own, expected) => {
    const results = { net: net({ 'tcp-in natgate': [own], 'tcp-in kernel': [10] }) };
    expect(find(results, 'TCP, one stream in').reached).toBe(expected);
  });

  it('takes what is added, and what is lower as better', () => {
    const results = {
      net: net({
        ...{ 'rtt-idle-p50 natgate': [30, 31, 90], 'rtt-idle-p50 kernel': [10, 12, 10] },
        ...{ 'rtt-half-p999 natgate': [900, 1100, 800], 'idle-cpu natgate': [0.1] },
      }),
    };
    expect(value(find(results, 'Added round trip, p50, idle').measured)).toBe(20);
    expect(find(results, 'Added round trip, p50, idle').reached).toBe('yes');
    expect(find(results, 'Round trip, p99.9, half load')).toMatchObject({
      measured: { value: 900 },
      reached: 'yes',
    });
    expect(find(results, 'Idle CPU').reached).toBe('aim');
  });

  it('is as good as the worst part, against the best MTU of slirp4netns', () => {
    const one = (workload: string, large: number, small: number): Values => ({
      ...{ [`${workload} natgate`]: [12] },
      ...{ [`${workload} slirp4netns-65520`]: [large], [`${workload} slirp4netns-1500`]: [small] },
    });
    const all = { ...one('tcp-out', 2, 1), ...one('tcp-in', 1, 3), ...one('tcp-both', 2, 2) };
    const figure = 'Against slirp4netns (best MTU), TCP both ways';
    expect(value(find({ net: net(all) }, figure).measured)).toBe(4);
    delete all['tcp-both slirp4netns-1500'];
    expect(find({ net: net(all) }, figure)).toMatchObject({
      measured: { missing: 'not measured' },
      reached: 'not measured',
    });
  });

  it('says who failed, and never takes that for a figure', () => {
    const failed = { net: net({ 'tcp-out natgate': ['died', 'died'], 'tcp-out kernel': [10, 10] }) };
    expect(find(failed, 'TCP, one stream out')).toMatchObject({ measured: { missing: 'natgate failed' } });
    const alone = { net: net({ 'tcp-out natgate': [1], 'tcp-out kernel': ['no iptables'] }) };
    expect(find(alone, 'TCP, one stream out')).toMatchObject({ measured: { missing: 'kernel failed' } });
  });

  it('reads the engine alone', () => {
    const results = { engine };
    expect(value(find(results, 'Engine alone, UDP, 1 000 flows').measured)).toBe(20);
    expect(find(results, 'Engine alone, TCP with full tracking, 1 000 flows').reached).toBe('no');
    expect(value(find(results, 'Flows made per second, engine alone').measured)).toBe(2);
    expect(find(results, 'Memory per flow at 1 million, TCP').reached).toBe('yes');
    expect(value(find(results, 'Packet at 4 million flows against 1 000, random').measured)).toBe(2.4);
    expect(value(find(results, 'Collections per 10^7 packets').measured)).toBe(0.5);
    expect(find(results, 'Collections per 10^7 packets').reached).toBe('no');
    expect(find(results, 'Engine alone, UDP, 1 million flows, random').reached).toBe('not measured');
  });

  it('knows nothing where nothing was run', () => {
    for (const { reached, measured } of judge({})) {
      expect([reached, value(measured)]).toEqual(['not measured', 'not measured']);
    }
  });
});

describe('the table', () => {
  it('has figure, bounds, what was measured, and the verdict', () => {
    const rows = targetTable(judge({ engine })).rows;
    expect(rows).toContainEqual(['Memory per flow at 1 million, TCP', '128 B', '96 B', '100 B', 'yes']);
    expect(rows).toContainEqual(['TCP, one stream out', '0.95', '1.05', 'not measured', 'not measured']);
    expect(conclusions(judge({ engine }), undefined, engine)).toContain(
      '- net.json: not run\n- [engine.json](benchmarks/engine.json): commit 0123456789ab, 2030-01-02',
    );
  });
});

describe('the page', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'natgate-targets-'));
    mkdirSync(join(root, 'docs'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('keeps what stands by hand, and says which missed figures it does not explain', () => {
    const page = new Page(root);
    page.writeBeside('engine.json', JSON.stringify(engine));
    const said: string[] = [];
    writeTargets(page, (line) => said.push(line));
    const missed = 'Engine alone, TCP with full tracking, 1 000 flows';
    expect(said).toEqual([
      `"Where the time goes" has no heading for: ${missed}; Collections per 10^7 packets`,
    ]);
    const text = `### ${missed}\n\nMost of it in the window checks.\n\n### Collections per 10^7 packets\n\nOne.\n`;
    page.append(text);
    said.length = 0;
    writeTargets(page, (line) => said.push(line));
    writeTargets(page, (line) => said.push(line));
    expect(said).toEqual([]);
    const written = readFileSync(join(root, 'docs/benchmarks.md'), 'utf8');
    expect(written.split('## Where the time goes')).toHaveLength(2);
    expect(written.endsWith(text)).toBe(true);
    expect(written).toContain('| Memory per flow at 1 million, TCP | 128 B | 96 B | 100 B | yes |');
  });

  it('takes headings of that section only', () => {
    const judged = judge({ engine }).filter(({ reached }) => reached === 'no');
    const name = judged[0]!.target.figure;
    const page = `## Where the time goes\n\n<!-- bench:net -->\n\n### ${name}\n`;
    expect(unexplained(`# B\n\n${page}`, judged)).toContain(name);
  });
});
