/** ICMP errors of all types and quotes, about flows of all protocols, from both sides. */
import type { Dice } from '../dice.ts';
import {
  type ErrorSpec,
  type FlowPacket,
  type FlowSpec,
  ICMP,
  type QuoteClass,
  type QuoteLie,
  type Side,
  type Step,
  TCP,
  UDP,
} from '../step.ts';
import { anyIp, someFlows } from './ip.ts';
import { queryPacket, udpPacket } from './queries.ts';
import { Talk } from './tcp-talk.ts';

/** Type and highest code of each. */
const ERRORS: readonly (readonly [number, number])[] = [
  [3, 15],
  [3, 16],
  [4, 0],
  [5, 3],
  [11, 1],
  [12, 2],
];
/** Neither query nor error of today. */
const UNKNOWN = [1, 2, 6, 7, 9, 10, 19, 30, 40, 42, 43, 255];

const QUOTES: readonly QuoteClass[] = [
  'none',
  'cut-header',
  'header',
  'header+4',
  'header+7',
  'header+8',
  'header+8',
  'transport',
  'options',
  'full',
  'full',
  'rfc4884',
];
const LIES: readonly QuoteLie[] = [
  'address',
  'port',
  'peer',
  'later-fragment',
  'protocol',
  'version',
  'direction',
];

export function errorSequence(dice: Dice): { flows: FlowSpec[]; steps: Step[] } {
  const protocol = dice.pick([TCP, UDP, ICMP]);
  const [flow] = someFlows(dice, protocol, 1, protocol === ICMP ? 0 : dice.pick([53, 80]));
  const steps = conversation(dice, protocol);
  const errors = Array.from({ length: dice.int(3, 8) }, () => {
    const from = dice.pick(['private', 'public', 'public'] as const);
    return { from, packet: errorAbout(dice, quotable(dice, protocol, steps, from), from) };
  });
  const more = dice.chance(50) ? steps.slice(-1) : [];
  return { flows: [flow!], steps: [...steps, ...errors, ...more] };
}

/** A packet that the sender of the error may have got. */
function quotable(dice: Dice, protocol: number, steps: readonly Step[], from: Side): FlowPacket {
  const seen = steps.filter((step) => step.from !== from).map((step) => step.packet as FlowPacket);
  if (seen.length > 0) return dice.pick(seen);
  if (protocol === ICMP) return queryPacket(dice, 0, 8, from === 'private' ? 'public' : 'private');
  if (protocol === UDP) return udpPacket(dice, 0);
  return new Talk(dice, 0).say('public', 'A').packet as FlowPacket;
}

function conversation(dice: Dice, protocol: number): Step[] {
  if (protocol === TCP) {
    const talk = new Talk(dice, 0);
    const opening = talk.handshake().slice(0, dice.int(1, 3));
    return opening.length === 3 ? [...opening, ...talk.exchange(2)] : opening;
  }
  const packet = (from: Side): FlowPacket =>
    protocol === UDP ? udpPacket(dice, 0) : queryPacket(dice, 0, 8, from);
  const steps: Step[] = [{ from: 'private', packet: packet('private') }];
  if (dice.chance(70)) steps.push({ from: 'public', packet: packet('public') });
  return steps.map((step) => {
    const { badChecksum: _sum, ...clean } = step.packet as FlowPacket & { badChecksum?: number };
    return { ...step, packet: clean as FlowPacket };
  });
}

function errorAbout(dice: Dice, quoted: FlowPacket, from: Side): ErrorSpec {
  const [type, codes] = dice.pick(ERRORS);
  const unknown = dice.chance(8);
  const spec: ErrorSpec = {
    kind: 'error',
    flow: quoted.flow,
    ip: anyIp(dice),
    type: unknown ? dice.pick(UNKNOWN) : type,
    code: unknown ? dice.int(0, 2) : dice.int(0, codes),
    rest: type === 3 ? dice.pick([0, 1400, 576, 68]) : dice.next(),
    quoted,
    quote: dice.pick(QUOTES),
    sender: dice.chance(60) ? 'peer' : 'router',
  };
  if (spec.quote === 'rfc4884' || dice.chance(70)) spec.rest &= 0xffff;
  const roll = dice.int(0, 99);
  if (roll < 5) spec.badChecksum = dice.int(1, 0xfffe);
  else if (roll < 10) spec.badInner = dice.int(1, 0xfffe);
  else if (roll < 14 && from === 'private') spec.astray = true;
  else if (roll < 24) spec.lie = dice.pick(LIES);
  return spec;
}
