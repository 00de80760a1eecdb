/**
 * Small packets: one flow of 18-byte UDP datagrams, offered as fast as the sender can. The value is what arrives
 * at the server, which also looks whether it came from the gateway's public address.
 */
import { NatgateError } from '../../../src/core/errors.ts';
import { compile, GCC } from '../tools.ts';
import { GATEWAY_PUBLIC_ADDRESS, SERVER_ADDRESS } from '../topology.ts';
import type { Sample, Workload } from '../types.ts';

const PORT = '5300';

export const udpPps: Workload = {
  name: 'udp-pps',
  title: 'UDP, 18-byte payload, full offer, delivered',
  unit: 'kpps',
  better: 'higher',
  digits: 1,
  needs: GCC,
  costUnit: 'million packets',
  async run(topology, seconds) {
    const [sinkProgram, blastProgram] = [await compile('udp-sink'), await compile('udp-blast')];
    const sink = topology.start(topology.server, sinkProgram, [PORT, `${seconds}`]);
    await sink.output(/^ready$/m, 5000);
    const blast = topology.start(topology.client, blastProgram, [SERVER_ADDRESS, PORT, `${seconds + 10}`]);
    try {
      const report = await sink.finish(seconds * 1000 + 10_000);
      // It was to go on for longer than the sink counts.
      if (blast.ended !== undefined) await blast.finish(0);
      return parseSink(report);
    } finally {
      await blast.stop();
    }
  },
};

/** Reads udp-sink's last line. */
export function parseSink(output: string): Sample {
  const report: { received: number; seconds: number; source: string } = JSON.parse(
    output.trim().split('\n').at(-1)!,
  );
  if (report.received === 0) throw new NatgateError('BENCH_UDP', 'no datagram reached the server');
  if (report.source !== GATEWAY_PUBLIC_ADDRESS) {
    throw new NatgateError('BENCH_UDP', `not translated: the server saw ${report.source}`);
  }
  return { value: report.received / report.seconds / 1e3, amount: report.received / 1e6 };
}
