/** What is measured, by traffic from the private host. */
import { NatgateError } from '../../core/errors.ts';
import type { Child } from '../lab/children.ts';
import { node, script } from '../lab/scripts.ts';
import type { Tool } from '../lab/tools.ts';
import { INTERNET_HOST } from '../lab/topology.ts';
import type { Site } from './contenders.ts';
import type { WorkloadName } from './options.ts';
import { median } from './summary.ts';

export interface Workload {
  name: WorkloadName;
  title: string;
  unit: string;
  digits: number;
  better: 'higher' | 'lower';
  needs: readonly Tool[];
  /** With what, for the reader. */
  how: string;
  /** Resolves with the value. `rounds`: how many such calls there will be. */
  run(site: Site, seconds: number, rounds: number): Promise<number>;
}

const IPERF: Tool = { binary: 'iperf3', package: 'iperf3' };
const PING: Tool = { binary: 'ping', package: 'iputils-ping' };
/** What a measurement may take beyond its own length, ms. */
const PATIENCE_MS = 10_000;
const UDP_BYTES = 18;
const PING_MS = 2;
/** In flight at once. */
const CONNECTIONS = 32;
/** Of one measurement, and of all: with a new source port each, as many ports must be there until the old ones come free. */
const MOST_CONNECTIONS = 4000;
const ALL_CONNECTIONS = 20_000;
const CONNECTIONS_PORT = 8001;

function tcp(name: WorkloadName, title: string, flags: readonly string[]): Workload {
  return {
    ...{ name, title, unit: 'Gb/s', digits: 2, better: 'higher', needs: [IPERF] },
    how: 'TCP: iperf3, what the receiver got',
    run: async (site, seconds) => bitsPerSecond(await iperf(site, seconds, flags)) / 1e9,
  };
}

const udp: Workload = {
  ...{ name: 'udp', title: `UDP, ${UDP_BYTES} bytes, delivered`, unit: 'kpps', digits: 1, better: 'higher' },
  needs: [IPERF],
  how: `UDP: iperf3 -u, ${UDP_BYTES} bytes of payload, one flow, as fast as it can send (one packet a system call)`,
  run: async (site, seconds) =>
    packetsDelivered(await iperf(site, seconds, ['-u', '-b', '0', '-l', `${UDP_BYTES}`])) / 1e3,
};

const rtt: Workload = {
  ...{ name: 'rtt', title: 'Round trip, median', unit: 'µs', digits: 0, better: 'lower', needs: [PING] },
  how: `Round trip: ping, one every ${PING_MS} ms, nothing else on the line`,
  async run({ topology, children }, seconds) {
    const count = Math.ceil((seconds * 1000) / PING_MS);
    const line = `ping -n -c ${count} -i ${PING_MS / 1000} -W 1 ${INTERNET_HOST}`;
    const argv = topology.inside(topology.private, line.split(' '));
    return medianPing((await children.run('ping', argv, true)).stdout, count);
  },
};

const connections: Workload = {
  ...{ name: 'connections', title: 'New TCP connections', unit: 'per second', digits: 0, better: 'higher' },
  needs: [],
  how: `New connections: Node at both ends; connect, one byte each way, close; ${CONNECTIONS} at a time`,
  async run({ topology, children, signal }, _seconds, rounds) {
    const count = Math.min(MOST_CONNECTIONS, Math.floor(ALL_CONNECTIONS / rounds));
    const side = (namespace: string, ...words: (string | number)[]) =>
      topology.inside(namespace, node(script('../bench/connections'), ...words.map(String)));
    const server = children.start(
      'server',
      side(topology.internet, 'server', INTERNET_HOST, CONNECTIONS_PORT),
    );
    try {
      await server.shows(/^listening$/, signal);
      const client = children.start(
        'client',
        side(topology.private, 'client', INTERNET_HOST, CONNECTIONS_PORT, count, CONNECTIONS),
      );
      const { stdout } = await children.finish(client, false, PATIENCE_MS + 5 * count);
      return Number(stdout);
    } finally {
      await server.stop();
    }
  },
};

export const workloads: readonly Workload[] = [
  tcp('tcp-out', 'TCP out', []),
  tcp('tcp-in', 'TCP in', ['-R']),
  tcp('tcp-8', 'TCP out, 8 streams', ['-P', '8']),
  udp,
  rtt,
  connections,
];

/** One transfer by iperf3. Returns its report. */
async function iperf(site: Site, seconds: number, flags: readonly string[]): Promise<IperfReport> {
  const { topology, children, signal } = site;
  const listen = topology.inside(topology.internet, ['iperf3', '-s', '-1', '--forceflush']);
  const server = children.start('iperf3 server', listen);
  let client: Child | undefined;
  try {
    await server.shows(/Server listening/, signal, PATIENCE_MS);
    const words = ['iperf3', '-c', INTERNET_HOST, '-J', '-t', `${seconds}`, '--connect-timeout', '3000'];
    client = children.start('iperf3', topology.inside(topology.private, [...words, ...flags]));
    const { stdout } = await children.finish(client, true, seconds * 1000 + PATIENCE_MS);
    return parseIperf(stdout);
  } finally {
    await client?.stop();
    await server.stop();
  }
}

/** The parts of `iperf3 -J` that are read here. */
export interface IperfReport {
  error?: string;
  end?: {
    sum?: { packets?: number; lost_packets?: number; seconds?: number };
    sum_received?: { bytes?: number; bits_per_second?: number };
  };
}

/** Throws NatgateError `bench_failed` with what iperf3 says. */
export function parseIperf(stdout: string): IperfReport {
  let report: IperfReport;
  try {
    report = JSON.parse(stdout) as IperfReport;
  } catch {
    throw new NatgateError('bench_failed', 'iperf3 gave no report');
  }
  if (report.error !== undefined) throw new NatgateError('bench_failed', `iperf3: ${report.error}`);
  return report;
}

/** Of the receiver. A transfer of which nothing arrived has failed. */
export function bitsPerSecond({ end }: IperfReport): number {
  const received = end?.sum_received;
  if (!received?.bytes || received.bits_per_second === undefined) {
    throw new NatgateError('bench_failed', 'iperf3: the receiver got nothing');
  }
  return received.bits_per_second;
}

/** UDP packets per second that the receiver got. */
export function packetsDelivered({ end }: IperfReport): number {
  const { packets = 0, lost_packets: lost = 0, seconds = 0 } = end?.sum ?? {};
  if (packets - lost <= 0 || seconds <= 0) {
    throw new NatgateError('bench_failed', 'iperf3: the receiver got nothing');
  }
  return (packets - lost) / seconds;
}

/** µs. Fails when fewer than half of the pings were answered: the rest would say little. */
export function medianPing(output: string, sent: number): number {
  const times = [...output.matchAll(/ time=([\d.]+) ms/g)].map((match) => Number(match[1]) * 1000);
  if (times.length < sent / 2) {
    throw new NatgateError('bench_failed', `${times.length} of ${sent} pings were answered`);
  }
  return median(times);
}
