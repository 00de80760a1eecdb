import { describe, expect, it } from 'vitest';
import { failureLines, markdown, type Report, tables } from '../../bench/net/report.ts';
import { toJson } from '../../bench/net/results.ts';
import { renderMarkdown, renderText } from '../../bench/net/table.ts';
import type { Contender, Workload } from '../../bench/net/types.ts';

const contender = (name: string): Contender => ({
  name,
  about: `About ${name}.`,
  needs: [],
  start: async () => [],
});

const workload = (name: string, costUnit?: string): Workload => ({
  name,
  title: `Title of ${name}`,
  unit: 'Gb/s',
  better: 'higher',
  digits: 1,
  needs: [],
  ...(costUnit === undefined ? {} : { costUnit }),
  run: async () => ({ value: 0 }),
});

const figure = { workload: 'bulk', median: 12.34, min: 10, max: 15.08, rounds: 2, tried: 3 };

const report: Report = {
  machine: {
    cpu: 'A CPU',
    cores: 2,
    memoryGiB: 4,
    kernel: '6.1.0',
    node: '20.19.0',
    commit: '0123456789ab',
    date: '2030-01-02',
    packages: ['iperf3 3.12-1'],
  },
  command: 'npm run bench:net -- --write',
  seconds: 3,
  rounds: 3,
  reference: 'kernel',
  contenders: [contender('natgate'), contender('kernel'), contender('other')],
  workloads: [workload('bulk', 'GB'), workload('ping')],
  summary: {
    figures: [
      { ...figure, contender: 'natgate', ratio: 0.804, gatewayCost: 0.5, machineCost: 0.9876 },
      { ...figure, contender: 'kernel', median: 15, ratio: 1, machineCost: 0.5 },
    ],
    failures: [
      { contender: 'natgate', workload: 'bulk', rounds: 1, tried: 3, error: 'ended:\n  exit 1' },
      { contender: 'natgate', workload: 'ping', rounds: 3, tried: 3, error: 'ended:\n  exit 1' },
    ],
  },
};

describe('tables', () => {
  it('shows medians with ratios, failures by name, and - for what was not tried', () => {
    expect(renderText(tables(report)[0]!)).toBe(
      [
        'Medians of 3 round(s), in brackets the ratio to kernel',
        '',
        '                natgate       kernel  other',
        '----------  -----------  -----------  -----',
        'bulk, Gb/s  12.3 (0.80)  15.0 (1.00)      -',
        'ping, Gb/s       failed            -      -',
        '',
      ].join('\n'),
    );
  });

  it('gives each workload its range, and CPU time where that says something', () => {
    const [, bulk, ping] = tables(report);
    expect(bulk!.head).toEqual(['', 'median', 'min', 'max', 'ratio', 'rounds', 'gateway CPU', 'machine CPU']);
    expect(bulk!.rows).toEqual([
      ['natgate', '12.3', '10.0', '15.1', '0.80', '2/3', '0.500', '0.988'],
      ['kernel', '15.0', '10.0', '15.1', '1.00', '2/3', '-', '0.500'],
      ['other', '-', '-', '-', '-', '-', '-', '-'],
    ]);
    expect(ping!.head).not.toContain('machine CPU');
    expect(ping!.rows[0]).toEqual(['natgate', 'failed', '-', '-', '-', '-']);
  });

  it('escapes what would end a Markdown cell', () => {
    const text = renderMarkdown({ title: 'T', head: ['', 'a|b'], rows: [['x', '1']] });
    expect(text).toBe('### T\n\n|  | a\\|b |\n|---|---:|\n| x | 1 |\n');
  });
});

describe('failureLines', () => {
  it('says a cause once, in one line, with the places', () => {
    expect(failureLines(report.summary)).toEqual(['natgate failed (bulk 1/3, ping 3/3): ended: exit 1']);
  });
});

describe('the page', () => {
  const section = markdown(report);

  it('names machine, commit, date and command', () => {
    for (const part of ['A CPU, 2 cores, 4 GiB, Linux 6.1.0, node 20.19.0', '0123456789ab', '2030-01-02']) {
      expect(section).toContain(part);
    }
    expect(section).toContain('`npm run bench:net -- --write`');
    expect(section).toContain('- **other**: About other.');
  });

  it('shows the pictures, how a workload is measured, and what was left out and why', () => {
    const [bulk, ping] = report.workloads;
    const written = markdown(
      {
        ...report,
        workloads: [
          { ...bulk!, about: 'Two rows, told once.' },
          { ...ping!, about: 'Two rows, told once.' },
        ],
        leftOut: [
          { contender: 'other', workload: 'bulk', reason: 'it cannot' },
          { contender: 'other', workload: 'ping', reason: 'it cannot' },
        ],
      },
      [{ file: 'rates.svg', alt: 'Rates', svg: '' }],
    );
    expect(written).toContain('![Rates](benchmarks/rates.svg)');
    expect(written.split('Two rows, told once.')).toHaveLength(2);
    expect(written).toContain('### Left out\n\n- other without bulk, ping: it cannot\n');
  });

  it('has the raw readings in a form that is read back', () => {
    const readings = [{ round: 1, contender: 'natgate', workload: 'bulk', value: 12.34 }];
    const read = JSON.parse(toJson(report, readings));
    expect(read).toMatchObject({
      command: report.command,
      rounds: 3,
      reference: 'kernel',
      leftOut: [],
      readings,
    });
    expect(read.figures).toEqual(report.summary.figures);
    expect(read.failures).toEqual(report.summary.failures);
    expect(read.workloads[0]).toEqual({
      ...{ name: 'bulk', title: 'Title of bulk', unit: 'Gb/s', better: 'higher', digits: 1 },
    });
  });
});
