/** UDP and ICMP query sequences. */
import type { Dice } from '../dice.ts';
import { type FlowPacket, type FlowSpec, ICMP, type QuerySpec, type Side, type Step, UDP } from '../step.ts';
import { anyIp, someFlows } from './ip.ts';

export function udpSequence(dice: Dice): { flows: FlowSpec[]; steps: Step[] } {
  const flows = someFlows(dice, UDP, dice.int(1, 4), dice.pick([53, 123, 5000]));
  const steps: Step[] = [];
  for (let left = dice.int(2, 12); left > 0; left--) {
    const from = dice.pick(['private', 'private', 'public'] as const);
    steps.push({ from, packet: udpPacket(dice, dice.int(0, flows.length - 1)) });
  }
  return { flows, steps };
}

export function udpPacket(dice: Dice, flow: number): FlowPacket {
  const packet: FlowPacket = {
    kind: 'udp',
    flow,
    ip: anyIp(dice),
    data: dice.pick([0, 1, 8, 33, 200, 1400]),
  };
  const roll = dice.int(0, 99);
  if (roll < 8) packet.unsummed = true;
  else if (roll < 11) packet.badChecksum = dice.int(1, 0xfffe);
  else if (roll < 14) packet.lengthError = dice.pick([-200, -1, 1, 8]);
  return packet;
}

const REQUESTS = [8, 8, 8, 8, 13, 15, 17];
const REPLIES: Record<number, number> = { 8: 0, 13: 14, 15: 16, 17: 18 };

export function querySequence(dice: Dice): { flows: FlowSpec[]; steps: Step[] } {
  const flows = someFlows(dice, ICMP, dice.int(1, 3), 0).map((flow) => ({ ...flow, serverPort: 0 }));
  const unique = flows.filter((flow, i) => flows.findIndex((other) => sameFlow(flow, other)) === i);
  // One type per sequence: the kernel may give flows of two types one id, and then a wrong reply is the other's right one.
  const request = dice.pick(REQUESTS);
  const steps: Step[] = [];
  for (let left = dice.int(2, 10); left > 0; left--) {
    const flow = dice.int(0, unique.length - 1);
    const from = dice.pick(['private', 'private', 'public', 'public'] as const);
    // So with codes: only a flow that is alone has others than 0.
    const packet = queryPacket(dice, flow, request, from);
    steps.push({ from, packet: unique.length === 1 || from === 'public' ? packet : { ...packet, code: 0 } });
  }
  return { flows: unique, steps };
}

function sameFlow(a: FlowSpec, b: FlowSpec): boolean {
  return a.client === b.client && a.server === b.server && a.clientPort === b.clientPort;
}

export function queryPacket(dice: Dice, flow: number, request: number, from: Side): QuerySpec {
  const right = from === 'private' ? request : REPLIES[request]!;
  const packet: QuerySpec = {
    kind: 'query',
    flow,
    ip: anyIp(dice),
    // From inside another request would begin another flow on the same id: replies only.
    type: dice.chance(88)
      ? right
      : dice.pick(from === 'private' ? [0, 14, 16, 18] : [0, 8, 13, 14, 15, 16, 17, 18]),
    code: dice.chance(96) ? 0 : dice.int(1, 3),
    sequence: dice.int(0, 65535),
    data: dice.pick([0, 1, 56, 56, 1400]),
  };
  if (dice.chance(3)) packet.badChecksum = dice.int(1, 0xfffe);
  return packet;
}
