/**
 * `npm run bench:hostile`: what is left to one client while another, behind the same private interface, begins new UDP flows as fast as
 * its kernel sends them. natgate and the kernel, side by side; the value is B's goodput under the flood by that without, of one round.
 *
 *     npm run bench:hostile -- --rounds 5 --seconds 2
 *
 * The flooder shares the machine too: what is bulk has fewer processors while it runs, so what is paced says more.
 */
import yargs from 'yargs';
import { NatgateError } from '../../src/core/errors.ts';
import { kernel } from '../net/contenders/kernel.ts';
import { natgate } from '../net/contenders/natgate.ts';
import { stopAll } from '../net/processes.ts';
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

const parsed = yargs(process.argv.slice(2))
  .scriptName('npm run bench:hostile --')
  .option('rounds', { type: 'number', default: 5, describe: 'how often everything is measured' })
  .option('seconds', { type: 'number', default: 2, describe: 'length of one transfer, whole seconds' })
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

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
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
console.log(`transfer by ${SERVER_ADDRESS}\tcontender\tquiet Mb/s\tflooded Mb/s\tleft`);
for (const [key, pairs] of readings) {
  const [quiet, flooded] = [0, 1].map((i) =>
    (median(pairs.map((pair) => pair[i as 0 | 1])) * 1e3).toFixed(1),
  );
  const left = median(pairs.map(([without, with_]) => (without === 0 ? 0 : with_ / without)));
  console.log(`${key}\t${quiet}\t${flooded}\t${(left * 100).toFixed(0)} %`);
}
