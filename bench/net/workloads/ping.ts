/** Round-trip time on an idle path: one ICMP echo every 2 ms. */
import { NatgateError } from '../../../src/core/errors.ts';
import { median, quantile } from '../statistics.ts';
import { SERVER_ADDRESS } from '../topology.ts';
import type { Sample, Workload } from '../types.ts';

const INTERVAL_SECONDS = 0.002;

export const ping: Workload = {
  name: 'ping',
  title: 'Round-trip time, idle path, median',
  unit: 'µs',
  better: 'lower',
  digits: 0,
  needs: [{ command: 'ping', package: 'iputils-ping' }],
  async run(topology, seconds) {
    const count = Math.ceil(seconds / INTERVAL_SECONDS);
    const args = ['-n', '-i', `${INTERVAL_SECONDS}`, '-c', `${count}`, '-W', '1', SERVER_ADDRESS];
    return parsePing(await topology.run(topology.client, 'ping', args, seconds * 1000 + 20_000), count);
  },
};

/** Takes the times from ping's output. Fails when more than a tenth of the answers is missing. */
export function parsePing(output: string, count: number): Sample {
  const times = [...output.matchAll(/ time=([\d.]+) ms/g)].map((match) => Number(match[1]) * 1000);
  if (times.length < count * 0.9) {
    throw new NatgateError('BENCH_PING', `${times.length} answers to ${count} echo requests`);
  }
  return {
    value: median(times),
    details: { p99: quantile(times, 0.99), lost: count - times.length },
  };
}
