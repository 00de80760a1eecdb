/**
 * Round-trip times of small datagrams to the server and back: with nothing else on the path, with half of what
 * the contender can carry, and during a transfer that fills the queues. Those that are lost are told in the details.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NatgateError } from '../../../src/core/errors.ts';
import { quantile } from '../statistics.ts';
import { compile, GCC } from '../tools.ts';
import { SERVER_ADDRESS, type Topology } from '../topology.ts';
import type { Metric, Sample, Tool, Workload } from '../types.ts';
import { IPERF, startTransfer } from './tcp.ts';
import { lossFreeRate } from './udp-loss-free.ts';
import { startBlast, startSink } from './udp-tools.ts';

const PORT = '5301';
const INTERVAL_US = 200;
/** A transfer has filled its queues by then. */
const FILL_MS = 300;
const QUANTILES = { p50: 0.5, p99: 0.99, p999: 0.999 };
const NAMES: Record<string, string> = { p50: 'median', p99: 'p99', p999: 'p99.9' };

function rtt(
  name: string,
  title: string,
  about: string,
  needs: readonly Tool[],
  run: Workload['run'],
): Workload {
  const metric = { unit: 'µs', better: 'lower', digits: 0 } as const;
  return {
    ...metric,
    name,
    title,
    about: `${about} One datagram every ${INTERVAL_US} µs, whether or not the last one is back.`,
    figures: Object.keys(QUANTILES).map(
      (key): Metric => ({ ...metric, name: `${name}-${key}`, title: `${title}, ${NAMES[key]}` }),
    ),
    needs: [...GCC, ...needs],
    warmUp: async (topology) => await ask(topology, name, 0.1),
    run,
  };
}

export const rttIdle = rtt(
  'rtt-idle',
  'Round trip, idle',
  'Nothing else is on the path.',
  [],
  async (topology, seconds) => await ask(topology, 'rtt-idle', seconds),
);

export const rttHalf = rtt(
  'rtt-half',
  'Round trip, half load',
  'UDP of 18 bytes flows out, at half of the highest rate at which this contender lost less than 0.1 % in this round.',
  [],
  async (topology, seconds) => {
    const rate = (await lossFreeRate(topology)) / 2;
    const sink = await startSink(topology, 0, 18);
    const blast = await startBlast(topology, { bytes: 18, flows: 1, rate }, seconds + 5);
    try {
      await sleep(50);
      const sample = await ask(topology, 'rtt-half', seconds);
      return { ...sample, details: { ...sample.details, background: rate } };
    } finally {
      await blast.stop();
      await sink.stop();
    }
  },
);

export const rttBulk = rtt(
  'rtt-bulk',
  'Round trip during a TCP transfer',
  'One TCP stream flows out, as fast as it can.',
  IPERF,
  async (topology, seconds) => {
    const { server, client } = await startTransfer(topology, ['-t', `${Math.ceil(seconds) + 5}`]);
    try {
      await sleep(FILL_MS);
      const sample = await ask(topology, 'rtt-bulk', seconds);
      if (client.ended !== undefined) await client.finish(0);
      return sample;
    } finally {
      await client.stop();
      await server.stop();
    }
  },
);

async function ask(topology: Topology, name: string, seconds: number): Promise<Sample> {
  const echo = topology.start(topology.server, await compile('udp-echo'), [PORT]);
  try {
    await echo.output(/^ready$/m, 5000);
    const args = [SERVER_ADDRESS, PORT, `${seconds}`, `${INTERVAL_US}`];
    const program = await compile('udp-rtt');
    return parseTimes(await topology.run(topology.client, program, args, seconds * 1000 + 10_000), name);
  } finally {
    await echo.stop();
  }
}

/** Reads udp-rtt's line. Fails when more than half of the answers are missing: the rest would say little. */
export function parseTimes(output: string, name: string): Sample {
  const { sent, times }: { sent: number; times: number[] } = JSON.parse(output);
  if (times.length <= sent / 2) {
    throw new NatgateError('BENCH_RTT', `${times.length} answers to ${sent} datagrams`);
  }
  const values = Object.fromEntries(
    Object.entries(QUANTILES).map(([key, q]) => [`${name}-${key}`, quantile(times, q)]),
  );
  return {
    value: values[`${name}-p50`]!,
    values,
    details: { sent, lost: sent - times.length, max: quantile(times, 1) },
  };
}
