/**
 * `npm run bench:hostile`: what is left to one client while another, behind the same private interface, begins new UDP flows as fast as
 * its kernel sends them. natgate and the kernel, side by side; the value is B's goodput under the flood by that without, of one round.
 *
 *     npm run bench:hostile -- --rounds 5 --seconds 2 [--json FILE]
 *
 * The flooder shares the machine too: what is bulk has fewer processors while it runs, so what is paced says more.
 */
import { writeFileSync } from 'node:fs';
import yargs from 'yargs';
import { NatgateError } from '../../src/core/errors.ts';
import { kernel } from '../net/contenders/kernel.ts';
import { natgate } from '../net/contenders/natgate.ts';
import { stopAll } from '../net/processes.ts';
import { median } from '../net/statistics.ts';
import { compile, demandTools, GCC, installTools } from '../net/tools.ts';
import { removeAll, SERVER_ADDRESS, serverAddress, Topology } from '../net/topology.ts';
import type { Contender } from '../net/types.ts';
import { IPERF, parseIperf, startTransfer } from '../net/workloads/tcp.ts';

/** The flooder: ports of one address, each to a thousand servers; more than it can send meanwhile. */
const FLOODER = '10.77.0.3';
const FLOOD = ['1', '1024', '64000', serverAddress(0), '1000', '9'];
const TRANSFERS: Readonly<Record<string, readonly string[]>> = {
  'download, 100 Mb/s': ['-R', '-b', '100M'],
  'upload, 100 Mb/s': ['-b', '100M'],
  'upload, bulk': [],
};

/** Medians over the rounds. */
export interface HostileFigure {
  transfer: string;
  contender: string;
  /** At a rate of its own, not as fast as it goes. */
  paced: boolean;
  /** Gb/s without and with the flood, and what of the first is left in one round. */
  quiet: number;
  flooded: number;
  left: number;
}

const parsed = yargs(process.argv.slice(2))
  .scriptName('npm run bench:hostile --')
  .option('rounds', { type: 'number', default: 5, describe: 'how often everything is measured' })
  .option('seconds', { type: 'number', default: 2, describe: 'length of one transfer, whole seconds' })
  .option('json', { type: 'string', describe: 'write the figures to this file' })
  .version(false)
  .strict()
  .parseSync();
if (process.getuid?.() !== 0) {
  throw new NatgateError('BENCH_NOT_ROOT', 'network namespaces need root', 'sudo npm run bench:hostile');
}
if (![parsed.rounds, parsed.seconds].every((value) => Number.isInteger(value) && value >= 1)) {
  throw new NatgateError('BENCH_USAGE', '--rounds and --seconds take whole numbers from 1');
}
const say = (line: string) => process.stderr.write(`${line}\n`);
const needs = [...GCC, ...IPERF, ...kernel.needs];
await installTools([{ command: 'ip', package: 'iproute2' }, ...needs], say);
demandTools(needs);
await natgate.prepare?.();
const flows = await compile('udp-flows');

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await stopAll();
    removeAll();
    process.exit(130);
  });
}

/** Gb/s that B gets; 0 when the transfer did not come about. */
async function goodput(topology: Topology, flags: readonly string[]): Promise<number> {
  const { server, client } = await startTransfer(topology, ['-t', `${parsed.seconds}`, ...flags]);
  try {
    return parseIperf(await client.finish(parsed.seconds * 1000 + 15_000)).value;
  } catch (error) {
    say(`  none: ${error instanceof Error ? error.message : String(error)}`);
    return 0;
  } finally {
    await client.stop();
    await server.stop();
  }
}

/** One round of one contender: by transfer, goodput without and with the flood. */
async function measure(contender: Contender): Promise<Map<string, [number, number]>> {
  const topology = await Topology.create();
  try {
    await topology.ip(topology.client, `address add ${FLOODER}/24 dev c0`);
    await contender.start(topology);
    const results = new Map<string, [number, number]>();
    const quiet = new Map<string, number>();
    for (const [name, flags] of Object.entries(TRANSFERS)) quiet.set(name, await goodput(topology, flags));
    const flood = topology.start(topology.client, flows, [FLOODER, ...FLOOD]);
    for (const [name, flags] of Object.entries(TRANSFERS)) {
      results.set(name, [quiet.get(name)!, await goodput(topology, flags)]);
    }
    await flood.stop();
    return results;
  } finally {
    await topology.close();
  }
}

const readings = new Map<string, [number, number][]>();
for (let round = 0; round < parsed.rounds; round++) {
  for (const contender of round % 2 === 0 ? [natgate, kernel] : [kernel, natgate]) {
    for (const [name, pair] of await measure(contender)) {
      const key = `${name}\t${contender.name}`;
      readings.set(key, [...(readings.get(key) ?? []), pair]);
    }
  }
  say(`round ${round + 1} of ${parsed.rounds}`);
}
const figures = [...readings].map(([key, pairs]): HostileFigure => {
  const [transfer, contender] = key.split('\t') as [string, string];
  return {
    transfer,
    contender,
    paced: TRANSFERS[transfer]!.includes('-b'),
    quiet: median(pairs.map(([quiet]) => quiet)),
    flooded: median(pairs.map(([, flooded]) => flooded)),
    left: median(pairs.map(([quiet, flooded]) => (quiet === 0 ? 0 : flooded / quiet))),
  };
});
console.log(`transfer by ${SERVER_ADDRESS}\tcontender\tquiet Mb/s\tflooded Mb/s\tleft`);
for (const { transfer, contender, quiet, flooded, left } of figures) {
  const rates = [quiet, flooded].map((rate) => (rate * 1e3).toFixed(1));
  console.log([transfer, contender, ...rates, `${(left * 100).toFixed(0)} %`].join('\t'));
}
if (parsed.json !== undefined) writeFileSync(parsed.json, `${JSON.stringify(figures, null, 2)}\n`);
