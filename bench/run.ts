/**
 * `npm run bench [-- --smoke] [-- --json FILE]`: the engine alone, no devices, no root.
 *
 * Part one times the functions of the hot path; part two pushes packets through the whole engine. Times are CPU time;
 * of repeated runs the median is shown, with the fastest and the slowest.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { benchFunctions } from './engine/functions.ts';
import { type PacketRun, type PacketRunResult, packetRun } from './engine/packet-run.ts';

const { values: options } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    packets: { type: 'string', default: '5000000' },
    json: { type: 'string' },
  },
});

const rounds = options.smoke ? 1 : Number(options.rounds);
const packets = options.smoke ? 200_000 : Number(options.packets);
const flowCounts = options.smoke ? [1, 1000] : [1, 1000, 60_000, 1_000_000];

console.log(`natgate engine, ${cpus()[0]?.model.trim()}, node ${process.version}\n`);

const functions = benchFunctions(options.smoke ? 0.05 : 0.5);
console.log('function                                 ns/call');
for (const { name, nsPerCall, margin } of functions) {
  console.log(`${name.padEnd(38)} ${nsPerCall.toFixed(1).padStart(9)}  ± ${margin.toFixed(1)} %`);
}

console.log(
  `\npackets through the engine             ns/packet   (fastest - slowest)     Mpps   new flows/s`,
);
const runs = flowCounts.flatMap((flows) =>
  (['udp', 'tcp'] as const).map((protocol): PacketRun => ({ protocol, flows, order: 'random', packets })),
);
const results = runs.map((run) => {
  const repeated = Array.from({ length: rounds }, () => packetRun(run));
  const sorted = repeated.map((r) => r.nsPerPacket).sort((a, b) => a - b);
  const result = { ...median(repeated), fastest: sorted[0]!, slowest: sorted.at(-1)! };
  const name = `${run.protocol}, ${run.flows.toLocaleString('en')} flows, ${run.order}`;
  const spread = `(${result.fastest.toFixed(0)} - ${result.slowest.toFixed(0)})`;
  console.log(
    `${name.padEnd(38)} ${result.nsPerPacket.toFixed(1).padStart(9)}   ${spread.padEnd(18)} ${(result.packetsPerSecond / 1e6).toFixed(2).padStart(9)}   ${Math.round(result.flowsPerSecond).toLocaleString('en').padStart(11)}`,
  );
  return result;
});

if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify({ node: process.version, functions, results }, null, 2)}\n`);
}

function median(repeated: PacketRunResult[]): PacketRunResult {
  return [...repeated].sort((a, b) => a.nsPerPacket - b.nsPerPacket)[repeated.length >> 1]!;
}
