/**
 * Flows that are tried on a set of rules: a first packet, the answer to whatever comes out, and one more packet.
 *
 * Every packet says of which flow it is, in what no gateway translates: sequence numbers, payload, ICMP's sequence. So does what rejects it: a RST by
 * the number it acknowledges, an ICMP error by its quote. `numberOf` reads it back.
 */

import { echoPacket, icmpPacket, tcpPacket, udpPacket } from '../../src/testing/packets.ts';
import { type PacketFields, readPacket } from '../../src/testing/read-packet.ts';
import { be16, putBe16 } from '../../src/wire/bytes.ts';
import type { Dice } from '../differential/dice.ts';
import type { Side } from '../differential/step.ts';
import { HOSTS, PORTS, SERVERS } from './rule-sets.ts';

export interface Flow {
  /** Of its set, from 0. */
  number: number;
  side: Side;
  kind: 'tcp' | 'udp' | 'echo' | 'timestamp';
  from: string;
  to: string;
  sport: number;
  dport: number;
  /** TCP: flags of the first segment. */
  flags: string;
}

/** Flows of a set, at most. */
export const MOST_FLOWS = 200;
/** So many sets in a row have source ports of their own. */
export const SLOTS = 300;
const FIRST_PORT = 1024;

/** `set`: its number. `external`: addresses of the gateway that the rules know of. */
export function flowOf(dice: Dice, set: number, number: number, external: readonly string[]): Flow {
  const isOutward = dice.chance(60);
  const kind = dice.pick(['tcp', 'tcp', 'udp', 'echo', isOutward ? 'timestamp' : 'udp'] as const);
  const [from, to] = isOutward
    ? [dice.pick(HOSTS), dice.pick(SERVERS)]
    : [dice.pick(SERVERS), dice.pick(external)];
  const flags = isOutward && dice.chance(12) ? 'A' : 'S';
  return {
    number,
    side: isOutward ? 'private' : 'public',
    kind,
    from,
    to,
    sport: FIRST_PORT + number * SLOTS + (set % SLOTS),
    dport: dice.pick(PORTS) + (dice.chance(8) ? 10_000 : 0),
    flags,
  };
}

const TIMESTAMP = 13;
/** Sequence numbers of a flow: the client's from its number, the server's from the middle. */
const STEP = 1_000_000;
const SERVER_SEQ = STEP / 2;

/** Of the flow that a packet belongs to or is about; -1 for none. */
export function numberOf(packet: Uint8Array): number {
  const { protocol, type, seq, ack, payload } = readPacket(packet);
  if (protocol === 6) return Math.floor((seq || ack) / STEP) - 1;
  if (protocol === 17)
    return Number(/^(?:ask|answer) (\d+)$/.exec(Buffer.from(payload).toString())?.[1] ?? -1);
  if (protocol !== 1) return -1;
  return [3, 11, 12].includes(type) ? numberOf(payload.subarray(4)) : be16(payload, 2);
}

const isPickedUp = (flow: Flow) => flow.flags === 'A';
const base = ({ number }: Flow) => (number + 1) * STEP;

export function firstPacket(flow: Flow): Uint8Array {
  const { kind, from, to, sport, dport, flags, number } = flow;
  if (kind === 'tcp')
    return tcpPacket({
      from: `${from}:${sport}`,
      to: `${to}:${dport}`,
      flags,
      seq: base(flow) + 1000,
      ack: isPickedUp(flow) ? base(flow) + SERVER_SEQ : 0,
    });
  if (kind === 'udp')
    return udpPacket({ from: `${from}:${sport}`, to: `${to}:${dport}`, payload: `ask ${number}` });
  if (kind === 'echo') return echoPacket({ from, to, identifier: sport, sequence: number });
  const body = new Uint8Array(16);
  putBe16(body, 0, sport);
  putBe16(body, 2, number);
  return icmpPacket({ from, to, type: TIMESTAMP, code: 0, body });
}

/** What the other end answers to a packet as it got it. */
export function answerTo(flow: Flow, { from, to, payload }: PacketFields): Uint8Array {
  if (flow.kind === 'tcp') {
    return tcpPacket({
      from: to,
      to: from,
      flags: isPickedUp(flow) ? 'A' : 'SA',
      seq: base(flow) + SERVER_SEQ - (isPickedUp(flow) ? 0 : 1),
      ack: base(flow) + (isPickedUp(flow) ? 1000 : 1001),
    });
  }
  if (flow.kind === 'udp') return udpPacket({ from: to, to: from, payload: `answer ${flow.number}` });
  if (flow.kind === 'echo')
    return echoPacket({
      from: to,
      to: from,
      identifier: be16(payload, 0),
      sequence: flow.number,
      reply: true,
    });
  const body = new Uint8Array(16);
  body.set(payload.subarray(0, 4));
  return icmpPacket({ from: to, to: from, type: TIMESTAMP + 1, code: 0, body });
}

/** Once more from where it began. */
export function nextPacket(flow: Flow): Uint8Array {
  if (flow.kind !== 'tcp') return firstPacket(flow);
  const { from, to, sport, dport } = flow;
  return tcpPacket({
    from: `${from}:${sport}`,
    to: `${to}:${dport}`,
    flags: 'A',
    seq: base(flow) + (isPickedUp(flow) ? 1000 : 1001),
    ack: base(flow) + SERVER_SEQ,
  });
}
