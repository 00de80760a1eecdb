/** Bulk TCP by iperf3. The value is what the receiver got. */
import { NatgateError } from '../../../src/core/errors.ts';
import { SERVER_ADDRESS, type Topology } from '../topology.ts';
import type { Sample, Workload } from '../types.ts';

function tcp(name: string, title: string, flags: readonly string[]): Workload {
  return {
    name,
    title,
    unit: 'Gb/s',
    better: 'higher',
    digits: 2,
    needs: [{ command: 'iperf3', package: 'iperf3' }],
    costUnit: 'GB',
    run: async (topology, seconds) => await iperf(topology, seconds, flags),
  };
}

export const tcpOut = tcp('tcp-out', 'TCP, one stream, client to server', []);
export const tcpIn = tcp('tcp-in', 'TCP, one stream, server to client', ['-R']);
export const tcpOut8 = tcp('tcp-out-8', 'TCP, eight streams, client to server', ['-P', '8']);

async function iperf(topology: Topology, seconds: number, flags: readonly string[]): Promise<Sample> {
  const server = topology.start(topology.server, 'iperf3', ['-s', '-1', '--forceflush']);
  await server.output(/Server listening/, 5000);
  // iperf3 knows whole seconds only.
  const whole = Math.max(1, Math.round(seconds));
  const client = topology.start(topology.client, 'iperf3', [
    ...['-c', SERVER_ADDRESS, '-J', '-t', `${whole}`, '--connect-timeout', '3000'],
    ...flags,
  ]);
  try {
    return parseIperf(await client.finish(whole * 1000 + 10_000));
  } catch (error) {
    // With -J it says what went wrong on stdout.
    throw client.ended === undefined || client.stdout === '' ? error : explain(client.stdout, error);
  } finally {
    await server.stop();
  }
}

/** Takes the receiver's rate from `iperf3 -J`. */
export function parseIperf(json: string): Sample {
  const report = JSON.parse(json);
  if (report.error !== undefined) throw new NatgateError('BENCH_IPERF', `iperf3: ${report.error}`);
  const { sum_received: received, sum_sent: sent } = report.end;
  if (!(received.bytes > 0)) throw new NatgateError('BENCH_IPERF', 'iperf3: the receiver got nothing');
  return {
    value: received.bits_per_second / 1e9,
    amount: received.bytes / 1e9,
    details: { retransmits: sent.retransmits ?? 0 },
  };
}

function explain(json: string, otherwise: unknown): unknown {
  try {
    parseIperf(json);
    return otherwise;
  } catch (error) {
    return error instanceof SyntaxError ? otherwise : error;
  }
}
