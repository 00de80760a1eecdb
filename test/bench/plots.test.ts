import { describe, expect, it } from 'vitest';
import { plot } from '../../bench/engine/plot.ts';
import { type Picture, plots } from '../../bench/net/plots.ts';
import type { Report, Row } from '../../bench/net/report.ts';
import type { Figure } from '../../bench/net/summary.ts';
import { logScale } from '../../bench/plot/scale.ts';

const row = (name: string, better: Row['better']): Row => ({
  ...{ name, title: `Title <of> ${name} & more`, unit: 'x', better, digits: 1 },
});

const figure = (contender: string, workload: string, ratio: number): Figure => ({
  ...{ contender, workload, median: ratio, min: ratio, max: ratio, rounds: 1, tried: 1, ratio },
  ratioRange: [ratio / 2, ratio * 2],
});

function report(figures: Figure[], failures: Report['summary']['failures'] = []): Report {
  return {
    machine: { cpu: '', cores: 1, memoryGiB: 1, kernel: '', node: '', commit: '', date: '', packages: [] },
    ...{ command: '', seconds: 1, rounds: 1, reference: 'kernel' },
    contenders: ['pasta', 'natgate', 'kernel', 'other'].map((name) => ({ name, about: '' })),
    workloads: [row('bulk', 'higher'), row('rtt', 'lower')],
    summary: { figures, failures },
  };
}

/** The names of the elements in order; throws where the text is not well-formed XML. */
function elements(svg: string): string[] {
  const names: string[] = [];
  const open: string[] = [];
  let rest = svg;
  while (rest !== '') {
    const tag =
      /^<(\/?)([a-z]+)((?:\s+[a-zA-Z-]+(?::[a-z]+)?="(?:[^"<&]|&(?:amp|lt|gt|quot);)*")*)\s*(\/?)>/.exec(
        rest,
      );
    if (tag) {
      const [all, end, name, , empty] = tag;
      if (end) expect(open.pop()).toBe(name);
      else {
        names.push(name!);
        if (!empty) open.push(name!);
      }
      rest = rest.slice(all!.length);
      continue;
    }
    const content = /^(?:[^<&]|&(?:amp|lt|gt|quot);)+/.exec(rest);
    if (!content) throw new Error(`not XML: ${rest.slice(0, 60)}`);
    rest = rest.slice(content[0].length);
  }
  expect(open).toEqual([]);
  return names;
}

const svgOf = (pictures: Picture[], file: string) => pictures.find((p) => p.file === file)!.svg;

describe('the plots of ratios', () => {
  const pictures = plots(
    report(
      [
        ...[figure('natgate', 'bulk', 0.8), figure('kernel', 'bulk', 1), figure('other', 'bulk', 0.01)],
        ...[figure('natgate', 'rtt', 3), figure('kernel', 'rtt', 1)],
      ],
      [{ contender: 'pasta', workload: 'bulk', rounds: 1, tried: 1, error: 'died' }],
    ),
  );

  it('are well-formed, with what is better high apart from what is better low', () => {
    expect(pictures.map(({ file }) => file)).toEqual(['rates.svg', 'times.svg']);
    for (const { svg } of pictures) expect(elements(svg)[0]).toBe('svg');
    expect(svgOf(pictures, 'rates.svg')).toContain('Title &lt;of&gt; bulk &amp; more');
    expect(svgOf(pictures, 'rates.svg')).not.toContain('of&gt; rtt');
  });

  it('name a contender that failed, and do not draw it as zero', () => {
    const svg = svgOf(pictures, 'rates.svg');
    expect(svg).toContain('failed: pasta');
    // A mark each in the legend, and one for each of natgate and other; a triangle would be pasta's, third in order.
    expect(svg).toContain('<title>natgate: 0.80</title>');
    expect(svg).toContain('<title>other: 0.01</title>');
    expect(svg).not.toContain('<title>pasta');
  });

  it('have natgate first, and neither the reference nor who has nothing there', () => {
    const svg = svgOf(pictures, 'times.svg');
    expect(svg).toContain('<title>natgate: 3.00</title>');
    expect(svg).not.toContain('pasta');
    expect(svg).not.toContain('<title>kernel');
  });

  it('are readable in the dark', () => {
    for (const { svg } of pictures) expect(svg).toContain('@media(prefers-color-scheme:dark){');
  });

  it('are left out where there is no ratio', () => {
    expect(plots(report([]))).toEqual([]);
  });
});

it('the plot of the engine has a line for each kind of traffic that was measured', () => {
  const ns = { median: 100, fastest: 90, slowest: 110, readings: 5 };
  const base = { name: '', order: 'random', size: 'small', ns } as const;
  const { svg } = plot({
    packets: [
      { ...base, protocol: 'udp', flows: 1000 },
      { ...base, protocol: 'udp', flows: 1_000_000 },
      { ...base, protocol: 'tcp', flows: 1000 },
    ],
  });
  elements(svg);
  expect(svg).toContain('udp, random');
  expect(svg).toContain('tcp, random');
  expect(svg).not.toContain('mixed');
  expect(svg).not.toContain('NaN');
});

describe('logScale', () => {
  it('has equal ratios equally far apart, and keeps what lies outside at the edge', () => {
    const { at } = logScale([0.1, 1, 10], 0, 100);
    expect(at(1) - at(0.1)).toBeCloseTo(at(10) - at(1));
    expect(at(1)).toBeCloseTo(50);
    expect(at(0)).toBeCloseTo(0);
    expect(at(1e9)).toBeCloseTo(100);
  });

  it('has ticks inside its range only, fewer where decades are many', () => {
    expect(logScale([0.9, 1.1], 0, 100).ticks).toEqual([1]);
    expect(logScale([0.2, 3], 0, 100).ticks).toEqual([0.2, 0.5, 1, 2]);
    expect(logScale([0.001, 1000], 0, 100).ticks).toEqual([0.001, 0.01, 0.1, 1, 10, 100, 1000]);
  });
});
