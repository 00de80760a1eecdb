/** The C programs that send and count UDP, and what they say. */
import { NatgateError } from '../../../src/core/errors.ts';
import type { Child } from '../processes.ts';
import { compile } from '../tools.ts';
import { GATEWAY_PUBLIC_ADDRESS, SERVER_ADDRESS, serverAddress, type Topology } from '../topology.ts';

const PORT = '5300';

/** What is sent; a rate of 0 is as much as the sender can. */
export interface UdpOffer {
  bytes: number;
  /** 1, or a multiple of SOCKETS. */
  flows: number;
  rate: number;
}

/** Source ports of an offer of several flows; each goes to flows / SOCKETS destinations. */
export const SOCKETS = 25;

/** Starts udp-sink on all addresses of the server; with 0 seconds it counts until it is stopped. */
export async function startSink(topology: Topology, seconds: number, bytes: number): Promise<Child> {
  const sink = topology.start(topology.server, await compile('udp-sink'), [PORT, `${seconds}`, `${bytes}`]);
  await sink.output(/^ready$/m, 5000);
  return sink;
}

export async function startBlast(topology: Topology, offer: UdpOffer, seconds: number): Promise<Child> {
  const { bytes, flows, rate } = offer;
  const spread = flows === 1 ? [] : ['-s', `${SOCKETS}`, '-a', `${flows / SOCKETS}`];
  const address = flows === 1 ? SERVER_ADDRESS : serverAddress(0);
  const args = ['-b', `${bytes}`, '-r', `${Math.round(rate)}`, ...spread, address, PORT, `${seconds}`];
  return topology.start(topology.client, await compile('udp-blast'), args);
}

export async function startFlows(
  topology: Topology,
  sources: { address: string; count: number; firstPort: number; ports: number },
  servers: number,
): Promise<Child> {
  const { address, count, firstPort, ports } = sources;
  const args = [address, count, firstPort, ports, serverAddress(0), servers, PORT].map(String);
  return topology.start(topology.client, await compile('udp-flows'), args);
}

export interface Received {
  received: number;
  seconds: number;
}

/** Reads udp-sink's last line. Fails when nothing arrived or when it was not translated. */
export function parseSink(output: string): Received {
  const { received, seconds, source } = JSON.parse(lastLine(output)) as Received & { source: string };
  if (received === 0) throw new NatgateError('BENCH_UDP', 'no datagram reached the server');
  if (source !== GATEWAY_PUBLIC_ADDRESS) {
    throw new NatgateError('BENCH_UDP', `not translated: the server saw ${source}`);
  }
  return { received, seconds };
}

export interface Sent {
  sent: number;
  seconds: number;
}

/** Reads the last line of udp-blast or udp-flows. */
export function parseSent(output: string): Sent {
  return JSON.parse(lastLine(output)) as Sent;
}

function lastLine(output: string): string {
  return output.trim().split('\n').at(-1)!;
}
