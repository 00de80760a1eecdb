/** What `npm run bench:net` found, as it stands in net.json; and its writing. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeTargets } from '../conclusions.ts';
import { Page } from '../page.ts';
import type { LeftOut } from './left-out.ts';
import type { Machine } from './machine.ts';
import { plots } from './plots.ts';
import { markdown, type Report } from './report.ts';
import type { Summary } from './summary.ts';
import { ROOT } from './tools.ts';
import type { Metric, Reading } from './types.ts';

export interface NetResults extends Summary {
  command: string;
  machine: Machine;
  seconds: number;
  rounds: number;
  reference: string;
  workloads: Metric[];
  leftOut: readonly LeftOut[];
  readings: readonly Reading[];
}

/** Into bench/results; and with `publish` into the page, with what lies beside it. */
export function save(report: Report, readings: readonly Reading[], publish: boolean): void {
  const json = toJson(report, readings);
  const folder = join(ROOT, 'bench/results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'net.json'), json);
  if (!publish) return;
  const page = new Page(ROOT);
  page.writeBeside('net.json', json);
  const pictures = plots(report);
  for (const { file, svg } of pictures) page.writeBeside(file, svg);
  page.writeSection('bench:net', markdown(report, pictures));
  writeTargets(page, (line) => process.stderr.write(`${line}\n`));
}

/** A reading in a line, the rest spread out. */
export function toJson(report: Report, readings: readonly Reading[]): string {
  const { command, machine, seconds, rounds, reference, summary, leftOut = [] } = report;
  const workloads = report.workloads.map(({ name, title, unit, better, digits }) => ({
    ...{ name, title, unit, better, digits },
  }));
  const head: Omit<NetResults, 'readings'> = {
    ...{ command, machine, seconds, rounds, reference, workloads, leftOut },
    ...summary,
  };
  const lines = readings.map((reading) => `    ${JSON.stringify(reading)}`).join(',\n');
  return `${JSON.stringify(head, null, 2).replace(/\n}$/, '')},\n  "readings": [\n${lines}\n  ]\n}\n`;
}
