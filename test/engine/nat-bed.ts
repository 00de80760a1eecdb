/** What the tests of the RFCs' requirements share: beds by behaviour, endpoints, one packet that left. */
import { expect } from 'vitest';
import {
  defaultBehaviour,
  masqueradeAll,
  matchAll,
  type NatBehaviour,
  type NatConfig,
  type NatRule,
  type PrefixPair,
} from '../../src/nat/config.ts';
import { tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';
import { type Decoded, decode } from '../wire/decode.ts';
import { Bed, type BedOptions, PUBLIC, to } from './bed.ts';

export const PORTS = { first: 32768, last: 65535 };
/** Remote hosts. */
export const A = '203.0.113.9';
export const B = '203.0.113.10';
/** Private hosts. */
export const X = '10.77.0.2';
export const Y = '10.77.0.3';

/** A bed that masquerades everything with this behaviour. */
export function bedWith(behaviour: Partial<NatBehaviour>, options: BedOptions = {}): Bed {
  return new Bed({ nat: masqueradeAll(options.ports ?? PORTS, behaviour), ...options });
}

/** A pool of dedicated addresses with all their ports. */
export function poolOf(addresses: readonly string[], behaviour: Partial<NatBehaviour> = {}): NatConfig {
  const rule: NatRule = {
    name: 'pool',
    match: matchAll,
    action: 'pool',
    addresses: addresses.map((text) => parseAddress(text)!),
    ports: { first: 1024, last: 65535 },
    behaviour: { ...defaultBehaviour, ...behaviour },
  };
  return { rules: [rule], forwards: [], prefixes: [] };
}

/** 1:1 of the private hosts .0 to .15: 10.77.0.n is 198.18.1.(16 + n). */
export const PAIR: PrefixPair = {
  name: 'lab',
  internal: parsePrefix('10.77.0.0/28')!,
  external: parsePrefix('198.18.1.16/28')!,
};

/** The one packet that left on `device`, decoded, with right checksums. */
export function only(device: number, sent: ReturnType<Bed['run']>): Decoded {
  const packets = to(device, sent);
  expect(packets).toHaveLength(1);
  const seen = decode(packets[0]!);
  expect([seen.checksumOk, seen.headerChecksumOk]).toEqual([true, true]);
  return seen;
}

export function udp(from: string, dst: string): Uint8Array {
  return udpPacket({ from, to: dst, payload: 'x' });
}

export function tcp(
  from: string,
  dst: string,
  flags: string,
  fields: { seq?: number; ack?: number; payload?: string } = {},
): Uint8Array {
  return tcpPacket({ from, to: dst, flags, ...fields });
}

/** External port of a datagram from inside. */
export function portOf(bed: Bed, from: string, dst: string): number {
  return only(PUBLIC, bed.out(udp(from, dst))).sport!;
}

/** `source:port > destination:port` */
export function ends({ src, sport, dst, dport }: Decoded): string {
  return `${src}:${sport} > ${dst}:${dport}`;
}

/** A connection X:40000 to A:80 that is established; initial sequence numbers 100 and 500. */
export function connect(bed: Bed, from = `${X}:40000`, remote = `${A}:80`): string {
  const external = ends(only(PUBLIC, bed.out(tcp(from, remote, 'S', { seq: 100 })))).split(' ')[0]!;
  bed.in(tcp(remote, external, 'SA', { seq: 500, ack: 101 }));
  bed.out(tcp(from, remote, 'A', { seq: 101, ack: 501 }));
  return external;
}
