/** Flows that are tried on a set of rules: a first packet, the answer to whatever comes out, and one more packet. */

import { echoPacket, icmpPacket, tcpPacket, udpPacket } from '../../src/testing/packets.ts';
import type { PacketFields } from '../../src/testing/read-packet.ts';
import type { Dice } from '../differential/dice.ts';
import type { Side } from '../differential/step.ts';
import { HOSTS, PORTS, SERVERS } from './rule-sets.ts';

export interface Flow {
  side: Side;
  kind: 'tcp' | 'udp' | 'echo' | 'timestamp';
  from: string;
  to: string;
  sport: number;
  dport: number;
  /** TCP: flags of the first segment. */
  flags: string;
}

/** `number`: no two flows of a set have the same ports. `external`: addresses of the gateway that the rules know of. */
export function flowOf(dice: Dice, number: number, external: readonly string[]): Flow {
  const isOutward = dice.chance(60);
  const kind = dice.pick(['tcp', 'tcp', 'udp', 'echo', isOutward ? 'timestamp' : 'udp'] as const);
  const [from, to] = isOutward
    ? [dice.pick(HOSTS), dice.pick(SERVERS)]
    : [dice.pick(SERVERS), dice.pick(external)];
  const flags = isOutward && dice.chance(12) ? 'A' : 'S';
  return {
    side: isOutward ? 'private' : 'public',
    kind,
    from,
    to,
    sport: 20_000 + number,
    dport: dice.pick(PORTS) + (dice.chance(8) ? 10_000 : 0),
    flags,
  };
}

const TIMESTAMP = 13;

export function firstPacket({ kind, from, to, sport, dport, flags }: Flow): Uint8Array {
  if (kind === 'tcp')
    return tcpPacket({
      from: `${from}:${sport}`,
      to: `${to}:${dport}`,
      flags,
      seq: 1000,
      ack: flags === 'A' ? 5000 : 0,
    });
  if (kind === 'udp') return udpPacket({ from: `${from}:${sport}`, to: `${to}:${dport}`, payload: 'ask' });
  if (kind === 'echo') return echoPacket({ from, to, identifier: sport });
  const body = new Uint8Array(16);
  new DataView(body.buffer).setUint16(0, sport);
  return icmpPacket({ from, to, type: TIMESTAMP, code: 0, body });
}

/** What the other end answers to a packet as it got it. */
export function answerTo(flow: Flow, { from, to, payload }: PacketFields): Uint8Array {
  if (flow.kind === 'tcp') {
    const isPickedUp = flow.flags === 'A';
    return tcpPacket({
      from: to,
      to: from,
      flags: isPickedUp ? 'A' : 'SA',
      seq: isPickedUp ? 5000 : 4999,
      ack: isPickedUp ? 1000 : 1001,
    });
  }
  if (flow.kind === 'udp') return udpPacket({ from: to, to: from, payload: 'answer' });
  const identifier = (payload[0]! << 8) | payload[1]!;
  if (flow.kind === 'echo') return echoPacket({ from: to, to: from, identifier, reply: true });
  const body = new Uint8Array(16);
  body.set(payload.subarray(0, 2));
  return icmpPacket({ from: to, to: from, type: TIMESTAMP + 1, code: 0, body });
}

/** Once more from where it began. */
export function nextPacket(flow: Flow): Uint8Array {
  if (flow.kind !== 'tcp') return firstPacket(flow);
  const { from, to, sport, dport, flags } = flow;
  return tcpPacket({
    from: `${from}:${sport}`,
    to: `${to}:${dport}`,
    flags: 'A',
    seq: flags === 'A' ? 1000 : 1001,
    ack: 5000,
  });
}
