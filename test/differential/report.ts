/** What a run says. */
import { describePacket } from '../../src/testing/packets.ts';
import { cell, type Group } from './coverage-group.ts';
import { describeState, type Output } from './output.ts';
import type { Summary } from './run.ts';
import type { Mismatch, StateMismatch } from './run-sequence.ts';
import { describeStep, type Sequence } from './step.ts';

export function describeMismatch(seed: number, mismatch: Mismatch): string {
  const state = mismatch.tcpState === '' ? '' : `, natgate's state before it ${mismatch.tcpState}`;
  const reasons = mismatch.reasons.length > 0 ? ` (${mismatch.reasons.join(', ')})` : '';
  return [
    ...head(seed, mismatch.sequence, mismatch.index),
    `  differs at the step marked *${state}:`,
    `    kernel:  ${describeOutputs(mismatch.kernel)}`,
    `    natgate: ${describeOutputs(mismatch.natgate)}${reasons}`,
    ...firstBytes(mismatch),
  ].join('\n');
}

export function describeStateMismatch(
  seed: number,
  { sequence, flow, kernel, natgate }: StateMismatch,
): string {
  return [
    ...head(seed, sequence, -1),
    `  flow ${flow} ends differently: kernel ${describeState(kernel)}, natgate ${describeState(natgate)}`,
  ].join('\n');
}

function head(seed: number, sequence: Sequence, marked: number): string[] {
  const again = `npm run differential -- --seed ${seed} --only ${sequence.number}`;
  return [
    `unexplained: seed ${seed}, sequence ${sequence.number} (${sequence.kind}), made small; whole: ${again}`,
    ...sequence.flows.map(
      (flow, i) =>
        `  flow ${i}: protocol ${flow.protocol}, client ${flow.client} port ${flow.clientPort}, ` +
        `server ${flow.server} port ${flow.serverPort}`,
    ),
    ...sequence.steps.map((step, i) => `  ${i === marked ? '*' : ' '} ${describeStep(step)}`),
  ];
}

function describeOutputs(outputs: readonly Output[]): string {
  if (outputs.length === 0) return 'nothing';
  return outputs.map(({ to, packet }) => `to ${to}: ${describePacket(packet)}`).join('; ');
}

/** Where two single packets begin to differ. */
function firstBytes({ kernel, natgate }: Mismatch): string[] {
  if (kernel.length !== 1 || natgate.length !== 1) return [];
  const [a, b] = [kernel[0]!.packet, natgate[0]!.packet];
  const at = Array.from({ length: Math.max(a.length, b.length) }, (_, i) => i).filter((i) => a[i] !== b[i]);
  if (at.length === 0) return [];
  const shown = at.slice(0, 8).map((i) => `${i}: ${a[i] ?? 'none'}/${b[i] ?? 'none'}`);
  return [
    `    bytes that differ (kernel/natgate; ports and sums made equal): ${shown.join(', ')}${at.length > 8 ? ' …' : ''}`,
  ];
}

/** The whole report of a run. */
export function summaryLines(summary: Summary, seed: number, seconds: number): string[] {
  const explained = Object.values(summary.explained).reduce((sum, count) => sum + count, 0);
  const unexplained = summary.unexplained.length + summary.more.length;
  return [
    ...summary.coverage.groups.flatMap((group) => [...table(group), '']),
    ...summary.unexplained.flatMap((text) => [text, '']),
    ...(summary.more.length > 0 ? [`more sequences that failed: ${summary.more.join(', ')}`, ''] : []),
    'explained differences (docs/differences-from-netfilter.md):',
    ...counted(summary.explained),
    `seed ${seed}: ${summary.sequences} sequences (${Object.entries(summary.kinds)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(', ')}), ${summary.packets} packets through each gateway in ${seconds.toFixed(1)} s`,
    `${explained + unexplained} differences: ${explained} explained, ${unexplained} unexplained`,
  ];
}

function counted(counts: Record<string, number>): string[] {
  const entries = Object.entries(counts).sort(([, a], [, b]) => b - a);
  return entries.length === 0 ? ['  none'] : entries.map(([name, count]) => `  ${name.padEnd(28)}${count}`);
}

/** Hits per cell; `-` for cells that cannot be reached. */
export function table({ title, rows, columns, counts, unreachable }: Group): string[] {
  const value = (row: string, column: string) => {
    const count = counts.get(cell(row, column));
    return count !== undefined ? String(count) : unreachable.has(cell(row, column)) ? '-' : '0';
  };
  const label = Math.max(...rows.map((row) => row.length));
  const widths = columns.map((column) =>
    Math.max(column.length, ...rows.map((row) => value(row, column).length)),
  );
  const line = (first: string, rest: readonly string[]) =>
    `  ${first.padEnd(label)}${rest.map((text, i) => `  ${text.padStart(widths[i]!)}`).join('')}`;
  return [
    `${title}, hits:`,
    line('', columns),
    ...rows.map((row) =>
      line(
        row,
        columns.map((column) => value(row, column)),
      ),
    ),
    ...[...new Set(unreachable.values())].map((why) => `  -: ${why}`),
  ];
}
