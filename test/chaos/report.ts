/** What a chaos run found, as text. */
import type { ChaosResult } from './chaos.ts';
import { seconds } from './verdict.ts';

/** One line for each kind of disaster, then the sums, then each violation. */
export function table({ verdict, struck, pings, datagrams, supervisor }: ChaosResult): string {
  const names = [...new Set(struck.map(({ name }) => name))].sort();
  const rows = names.map((name) => {
    const ones = struck.filter((one) => one.name === name);
    const gaps = ones.map(({ gap }) => gap).sort((a, b) => a - b);
    return [
      name,
      `${ones.length}`,
      gaps[gaps.length >> 1]!.toFixed(0),
      gaps.at(-1)!.toFixed(0),
      seconds(Math.max(...ones.map(({ begin, end }) => end - begin))),
      ones[0]!.mayBreak,
    ];
  });
  const all = [['disaster', 'times', 'gap ms', 'longest', 'took', 'may break'], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const lines = all.map((row) =>
    row
      .map((text, column) => (column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!)))
      .join('  '),
  );
  const memory = supervisor.memory.map((mib) => mib.toFixed(0));
  return [
    '',
    ...lines,
    '',
    `transfers: ${verdict.transfers} (${(verdict.bytes / 2 ** 20).toFixed(0)} MiB with the right SHA-256), queries: ${verdict.queries}, ended by design: ${verdict.byDesign}`,
    `longest stall of a transfer: ${seconds(verdict.longestStall)}; datagrams: ${datagrams.received} of ${datagrams.sent} came back, ${datagrams.again} twice; pings: ${pings.answered} of ${pings.sent}`,
    `supervisor: ${memory[0] ?? '?'} MiB at first, ${memory.at(-1) ?? '?'} MiB at last, ${supervisor.descriptors.at(-1) ?? '?'} descriptors`,
    ...verdict.violations.map((violation) => `VIOLATION ${violation}`),
    verdict.violations.length === 0 ? 'nothing was lost' : `${verdict.violations.length} violations`,
  ].join('\n');
}
