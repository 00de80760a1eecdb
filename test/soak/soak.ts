/** What both kinds of soak tell, and the verdict on it. Pure. */
import { FEWEST, type Growth, growthOf } from './growth.ts';

/** One reading. Memory in MiB. */
export interface Reading {
  /** s since the first. */
  at: number;
  /** Flows begun so far. */
  flows: number;
  /** What is looked at for growth, by name. */
  values: Record<string, number>;
}

/** What must be when all flows are over, by the engine's counters. */
export interface Books {
  started: number;
  ended: number;
  /** In the table. */
  left: number;
  /** Ports and ids in use. */
  ports: number;
}

export interface SoakResult {
  kind: 'gateway' | 'engine';
  flows: number;
  seconds: number;
  readings: Reading[];
  /** Flows that came to their proper end, as their ends saw it. */
  over: number;
  books: Books;
  growth: Record<string, Growth>;
  violations: string[];
}

/** MiB, and descriptors, below which a rise is none. */
const FLOORS: Record<string, number> = { descriptors: 1 };
const FLOOR_MIB = 8;
/** Share of flows that may have lost a packet to a full queue, on a machine that is busy otherwise. */
const LOST = 0.5;

export function verdict(result: Omit<SoakResult, 'growth' | 'violations'>): SoakResult {
  const { readings, books, flows, over } = result;
  const growth: SoakResult['growth'] = {};
  const violations: string[] = [];
  for (const name of Object.keys(readings[0]?.values ?? {})) {
    const one = growthOf(
      readings.map(({ values }) => values[name]!),
      FLOORS[name] ?? FLOOR_MIB,
    );
    growth[name] = one;
    if (one.grows)
      violations.push(`${name} rises by ${one.rise.toFixed(1)} (scatter ${one.scatter.toFixed(1)})`);
  }
  if (books.started !== books.ended) violations.push(`${books.started} flows began and ${books.ended} ended`);
  if (books.left !== 0) violations.push(`${books.left} flows are left`);
  if (books.ports !== 0) violations.push(`${books.ports} ports are left in use`);
  if (books.started < flows * (1 - LOST)) violations.push(`only ${books.started} of ${flows} flows began`);
  if (over < flows * (1 - LOST)) violations.push(`only ${over} of ${flows} flows came to their end`);
  return { ...result, growth, violations };
}

/** A line for each tenth of the readings, then growth, then the verdict. */
export function table(result: SoakResult): string {
  const { readings, growth, books, violations } = result;
  const names = Object.keys(growth);
  const step = Math.max(1, Math.ceil(readings.length / 12));
  const rows = readings
    .filter((_, i) => i % step === 0 || i === readings.length - 1)
    .map(({ at, flows, values }) => [
      at.toFixed(0),
      flows.toLocaleString('en'),
      ...names.map((name) => values[name]!.toFixed(FLOORS[name] === undefined ? 1 : 0)),
    ]);
  const all = [
    ['s', 'flows', ...names],
    ...rows,
    ['rise', '', ...names.map((name) => growth[name]!.rise.toFixed(1))],
  ];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const few = readings.length * 0.8 < FEWEST ? ' (too few readings to speak of growth)' : '';
  return [
    ...all.map((row) => row.map((text, column) => text.padStart(widths[column]!)).join('  ')),
    `${books.started.toLocaleString('en')} flows began, ${books.ended.toLocaleString('en')} ended, ${result.over.toLocaleString('en')} in good order; ` +
      `left: ${books.left} flows, ${books.ports} ports`,
    ...violations.map((violation) => `VIOLATION ${violation}`),
    violations.length === 0 ? `nothing grows${few}` : `${violations.length} violations`,
  ].join('\n');
}
