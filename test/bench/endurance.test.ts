import { expect, it } from 'vitest';
import { parts } from '../../bench/endurance/parts.ts';
import { markdown } from '../../bench/endurance/report.ts';
import type { EnduranceResults } from '../../bench/endurance/results.ts';
import { enduranceTargets } from '../../bench/endurance/targets.ts';
import { judge } from '../../bench/targets.ts';

const machine = {
  ...{ cpu: 'A CPU', cores: 2, memoryGiB: 4, kernel: '6.1.0', node: '20.19.0' },
  ...{ commit: '0123456789ab', date: '2030-01-02', packages: [] },
};

/** What the commands write into their files, as far as it is read. */
const outages = {
  failed: 0,
  wrong: 0,
  resets: 0,
  sent: 1000,
  lost: 8,
  times: 3,
  gapMs: { median: 80, longest: 91 },
};
const transfer = (name: string, contender: string, paced: boolean, left: number) => ({
  transfer: name,
  ...{ contender, paced, left, quiet: 0.1, flooded: 0.1 * left },
});
const ms = (median: number) => ({ median, fastest: median - 1, slowest: median + 1, readings: 5 });
const soaked = (kind: string, violations: string[]) => ({
  ...{ kind, flows: 100, over: 99, violations },
  books: { started: 100, ended: 100, left: 0, ports: 0 },
  growth: { heap: { rise: 0.25 } },
});
const FILES: Record<string, unknown> = {
  recovery: { transfers: 1000, killed: outages, takenOver: { ...outages, lost: 0, failed: 2, wrong: 1 } },
  adoption: {
    adoption: [
      { flows: 1e6, own: false, ms: ms(500) },
      { flows: 1e6, own: true, ms: ms(870) },
    ],
  },
  hostile: [
    transfer('up', 'natgate', true, 0.99),
    transfer('down', 'natgate', true, 0.97),
    transfer('bulk', 'natgate', false, 0.5),
    transfer('up', 'kernel', true, 0.3),
  ],
  fuzz: { seed: 1, packets: 1e8, jobs: 2, seconds: 400 },
  'soak-engine': soaked('engine', []),
  soak: soaked('gateway', ['rss rises']),
  chaos: {
    seed: 9,
    verdict: { transfers: 10, byDesign: 1, longestStall: 2000, violations: [] },
    struck: [{}, {}],
    datagrams: { sent: 10, received: 9 },
  },
};

const results = (files = FILES): EnduranceResults =>
  Object.fromEntries(
    parts
      .filter(({ name }) => name in files)
      .map(({ name, script, read }) => [
        name,
        { command: `npm run ${script}`, machine, seconds: 1, ...read(files[name]) },
      ]),
  );
const judged = (endurance: EnduranceResults) =>
  judge({ endurance }, enduranceTargets).map(({ measured, reached }) => [
    'value' in measured ? measured.value : measured.missing,
    reached,
  ]);

it('every part gives the figures that are asked of it', () => {
  expect(judged(results())).toEqual([
    [3, 'no'],
    [91, 'aim'],
    [0, 'aim'],
    [870, 'yes'],
    [0.97, 'aim'],
    [0, 'aim'],
    [1, 'no'],
    [1e8, 'yes'],
    [30, 'yes'],
  ]);
});

it('a chaos run that lost something counts as none', () => {
  const lost = { seed: 9, verdict: { transfers: 1, byDesign: 0, longestStall: 0, violations: ['x'] } };
  const chaos = { ...lost, struck: [], datagrams: { sent: 0, received: 0 } };
  expect(judged(results({ chaos })).at(-1)).toEqual([0, 'no']);
});

it('a part that failed, or never ran, is not taken for reached', () => {
  const [part] = parts;
  const failed = { command: '', machine, seconds: 1, figures: {}, seen: 'failed (exit code 1)' };
  const rows = judged({ [part!.name]: failed });
  expect(rows.slice(0, 4)).toEqual([
    ['failed', 'not measured'],
    ['failed', 'not measured'],
    ['failed', 'not measured'],
    ['not measured', 'not measured'],
  ]);
});

it('the page has the table, and of each part the command, machine, commit and date', () => {
  const page = markdown(results());
  expect(page).toContain('| Taking over a million flows | 1000 ms | 200 ms | 870 ms | yes |');
  expect(page).toContain('| Mutated packets survived | 10^8 | 10^9 | 10^8 | yes |');
  expect(page).toContain(
    '- `npm run bench:hostile` (1 s; 2 × A CPU, Linux 6.1.0, Node 20.19.0; commit 0123456789ab, 2030-01-02): ' +
      'up: 99 % (kernel 30 %); down: 97 %; bulk: 50 %.',
  );
});
