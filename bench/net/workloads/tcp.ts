/** Bulk TCP by iperf3. The value is what the receiver got; both receivers, where it goes both ways. */
import { NatgateError } from '../../../src/core/errors.ts';
import type { Child } from '../processes.ts';
import { SERVER_ADDRESS, type Topology } from '../topology.ts';
import type { Sample, Tool, Workload } from '../types.ts';
import { withoutOffloads } from './offloads.ts';

export const IPERF: readonly Tool[] = [{ command: 'iperf3', package: 'iperf3' }];

/** iperf3 knows whole seconds only; a warm-up is a number of bytes. */
const WARM_UP = ['-n', '48M'];

function tcp(name: string, title: string, flags: readonly string[]): Workload {
  return {
    name,
    title,
    unit: 'Gb/s',
    better: 'higher',
    digits: 2,
    needs: IPERF,
    costUnit: 'GB',
    warmUp: async (topology) => await iperf(topology, 1, [...WARM_UP, ...flags]),
    run: async (topology, seconds) => await iperf(topology, seconds, [...duration(seconds), ...flags]),
  };
}

export const tcpOut = tcp('tcp-out', 'TCP, one stream, client to server', []);
export const tcpIn = tcp('tcp-in', 'TCP, one stream, server to client', ['-R']);
export const tcpBoth = tcp('tcp-both', 'TCP, one stream each way at once, sum', ['--bidir']);
export const tcpOut8 = tcp('tcp-out-8', 'TCP, 8 streams, client to server', ['-P', '8']);
export const tcpOut64 = tcp('tcp-out-64', 'TCP, 64 streams, client to server', ['-P', '64']);

/** As on a network whose cards have no offloads: packets cross one by one. */
export const tcpSmall: Workload = {
  ...tcp('tcp-1500', 'TCP, one stream, client to server, packets of 1500 bytes', []),
  about: 'TSO, GSO and GRO are off on all interfaces of client, gateway and server (ethtool -K).',
  needs: [...IPERF, { command: 'ethtool', package: 'ethtool' }],
  warmUp: async (topology) => await withoutOffloads(topology, async () => await iperf(topology, 1, WARM_UP)),
  run: async (topology, seconds) =>
    await withoutOffloads(topology, async () => await iperf(topology, seconds, duration(seconds))),
};

/** Starts a transfer to the server for that many seconds; stop the client first, then the server. */
export async function startTransfer(
  topology: Topology,
  flags: readonly string[],
): Promise<{ server: Child; client: Child }> {
  const server = topology.start(topology.server, 'iperf3', ['-s', '-1', '--forceflush']);
  await server.output(/Server listening/, 5000);
  const client = topology.start(topology.client, 'iperf3', [
    ...['-c', SERVER_ADDRESS, '-J', '--connect-timeout', '3000'],
    ...flags,
  ]);
  return { server, client };
}

function duration(seconds: number): string[] {
  return ['-t', `${Math.max(1, Math.round(seconds))}`];
}

async function iperf(topology: Topology, seconds: number, flags: readonly string[]): Promise<Sample> {
  const { server, client } = await startTransfer(topology, flags);
  try {
    return parseIperf(await client.finish(seconds * 1000 + 10_000));
  } catch (error) {
    // With -J it says what went wrong on stdout.
    throw client.ended === undefined || client.stdout === '' ? error : explain(client.stdout, error);
  } finally {
    await server.stop();
  }
}

/** Takes the receivers' rate from `iperf3 -J`. */
export function parseIperf(json: string): Sample {
  const report = JSON.parse(json);
  if (report.error !== undefined) throw new NatgateError('BENCH_IPERF', `iperf3: ${report.error}`);
  const { end } = report;
  const received = [end.sum_received, end.sum_received_bidir_reverse].filter((sum) => sum !== undefined);
  if (received.some((sum) => !(sum.bytes > 0))) {
    throw new NatgateError('BENCH_IPERF', 'iperf3: the receiver got nothing');
  }
  return {
    value: total(received, 'bits_per_second') / 1e9,
    amount: total(received, 'bytes') / 1e9,
    details: { retransmits: total([end.sum_sent, end.sum_sent_bidir_reverse], 'retransmits') },
  };
}

function total(sums: readonly (Record<string, number> | undefined)[], field: string): number {
  return sums.reduce((sum, entry) => sum + (entry?.[field] ?? 0), 0);
}

function explain(json: string, otherwise: unknown): unknown {
  try {
    parseIperf(json);
    return otherwise;
  } catch (error) {
    return error instanceof SyntaxError ? otherwise : error;
  }
}
