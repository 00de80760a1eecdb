/**
 * Real devices with the steering programs on them, and steering-host.ts in the engine's place: what tests of packets on their way to
 * it and back use.
 */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import { OWNED_PORT } from './steering-shared.ts';
import { Agent } from './support/agent.ts';
import { describePacket, ethernet, parseIpv4, udp } from './support/packets.ts';
import { type Background, until } from './support/process.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, SERVER, type Topology } from './support/topology.ts';

export const INTERNET = '203.0.113.80';
/** virtio_net_hdr of a plain packet. */
export const PLAIN = '00'.repeat(10);

export interface FromTun {
  tun: number;
  vnet: string;
  packet: Buffer;
}

export interface StandIn {
  net: Topology;
  client: Agent;
  host: Agent;
  server: Agent;
  macs: Record<'c0' | 'g0' | 'g1' | 's0', string>;
  /** What has reached a TUN. */
  readonly fromTuns: FromTun[];
  /** Writes a packet as the engine does. */
  write(tun: number, packet: Buffer, vnet?: string): void;
  /** Does something and returns the packets that reach a TUN meanwhile, the marker last of all excluded. */
  reaches(act: () => Promise<unknown>): Promise<FromTun[]>;
}

/** Makes it before the tests and removes it after them; the fields are there once tests run. */
export function useStandIn(): StandIn {
  const fromTuns: FromTun[] = [];
  const bed = { fromTuns } as StandIn;
  let engine: Background;

  beforeAll(async () => {
    const net = await createTopology();
    bed.net = net;
    [bed.client, bed.host, bed.server] = await Promise.all([
      Agent.start(net.client),
      Agent.start(net.gateway),
      Agent.start(net.server),
    ]);
    bed.macs = {
      c0: await net.client.mac('c0'),
      g0: await net.gateway.mac('g0'),
      g1: await net.gateway.mac('g1'),
      s0: await net.server.mac('s0'),
    };
    // A failed resolution takes 3 s by default.
    for (const device of ['g0', 'g1']) {
      await net.gateway.exec(`sysctl -qw net.ipv4.neigh.${device}.retrans_time_ms=50`);
    }
    const script = fileURLToPath(new URL('./steering-host.ts', import.meta.url));
    engine = net.gateway.spawn([process.execPath, '--import', 'tsx', script]);
    createInterface({ input: engine.child.stdout! }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const { tun, vnet, packet } = JSON.parse(line) as { tun: number; vnet: string; packet: string };
      fromTuns.push({ tun, vnet, packet: Buffer.from(packet, 'base64') });
    });
    await engine.shows(/^ready$/m, 20_000);
  });
  afterAll(() => bed.net?.destroy());

  bed.write = (tun, packet, vnet = PLAIN) => {
    engine.child.stdin!.write(`${JSON.stringify({ tun, packet: packet.toString('base64'), vnet })}\n`);
  };
  bed.reaches = async (act) => {
    fromTuns.length = 0;
    await act();
    // The veth keeps the order, so what came before this one has been decided.
    const marker = udp({ src: CLIENT, dst: INTERNET, sport: 1, dport: 9 }, Buffer.from('marker'));
    await bed.client.inject('c0', [ethernet(bed.macs.g0, bed.macs.c0, marker)]);
    const isMarker = (seen: FromTun) => seen.packet.equals(marker);
    await until('the marker packet reaches the TUN', () => fromTuns.some(isMarker));
    return fromTuns.filter((seen) => !isMarker(seen));
  };
  return bed;
}

export const packetOf = (seen: FromTun) => describePacket(parseIpv4(seen.packet)!);
export const outbound = (length: number, dst = INTERNET) =>
  udp({ src: CLIENT, dst, sport: 5000, dport: 53, id: length }, Buffer.alloc(length, 'outbound '));
export const inbound = (dport: number) =>
  udp({ src: SERVER, dst: GATEWAY_PUBLIC, sport: 53, dport }, Buffer.from('inbound'));
export const fromEngine = (dst: string, data: Buffer = Buffer.from('from the engine')) =>
  udp({ src: GATEWAY_PUBLIC, dst, sport: OWNED_PORT, dport: 53 }, data);
