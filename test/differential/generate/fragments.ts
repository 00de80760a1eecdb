/** Datagrams in pieces: in and out of order, tiny, overlapping, twice, incomplete, two at a time. */
import type { Dice } from '../dice.ts';
import {
  type Cut,
  type FlowPacket,
  type FlowSpec,
  type FragmentShape,
  ICMP,
  type Side,
  type Step,
  UDP,
} from '../step.ts';
import { someFlows } from './ip.ts';

const SHAPES: readonly FragmentShape[] = [
  'in order',
  'in order',
  'reversed',
  'shuffled',
  'first last',
  'tiny',
  'overlapping',
  'duplicate',
  'missing',
  'interleaved',
];

export function fragmentSequence(dice: Dice): { flows: FlowSpec[]; steps: Step[] } {
  const protocol = dice.chance(70) ? UDP : ICMP;
  const flows = someFlows(dice, protocol, 1, protocol === ICMP ? 0 : 5000);
  const steps: Step[] = [];
  if (dice.chance(70)) steps.push({ from: 'private', packet: datagram(dice, protocol, 'private', 40) });
  for (let left = dice.int(1, 4); left > 0; left--) {
    const from = dice.pick(['private', 'public'] as const);
    const shape = dice.pick(SHAPES);
    const pieces = piecesOf(dice, protocol, from, shape);
    if (shape !== 'interleaved') {
      steps.push(...pieces);
      continue;
    }
    const others = piecesOf(dice, protocol, from, shape);
    while (pieces.length + others.length > 0) {
      const next = (dice.chance(50) ? pieces : others).shift();
      if (next !== undefined) steps.push(next);
    }
  }
  return { flows, steps };
}

function datagram(dice: Dice, protocol: number, from: Side, data: number): FlowPacket {
  const ip = { ttl: 64, tos: 0, id: dice.int(1, 65535), df: false, options: [] };
  if (protocol === UDP) return { kind: 'udp', flow: 0, ip, data };
  return {
    kind: 'query',
    flow: 0,
    ip,
    type: from === 'private' ? 8 : 0,
    code: 0,
    sequence: dice.int(1, 9999),
    data,
  };
}

function piecesOf(dice: Dice, protocol: number, from: Side, shape: FragmentShape): Step[] {
  const data = dice.pick([100, 1000, 2000, 3000, 5000]);
  const packet = datagram(dice, protocol, from, data);
  const length = data + 8;
  const size = shape === 'tiny' ? dice.pick([8, 16, 24]) : dice.pick([400, 800, 1480]);
  const cuts: Cut[] = [];
  // Of a long datagram only the first piece is tiny.
  for (let offset = 0; offset < length; ) {
    const piece = Math.min(shape === 'tiny' && offset > 0 ? 1480 : size, length - offset);
    cuts.push({ offset, length: piece, more: offset + piece < length, shape });
    offset += piece;
  }
  if (shape === 'overlapping' && cuts.length > 0) {
    const at = dice.int(0, cuts.length - 1);
    const cut = cuts[at]!;
    const offset = dice.chance(50) && cut.offset >= 8 ? cut.offset - 8 : cut.offset + 8;
    if (offset < length) {
      const piece = Math.min(cut.length, length - offset);
      const more = offset + piece < length;
      // Pieces but the last are multiples of 8.
      const whole = more ? piece & ~7 : piece;
      if (whole > 0)
        cuts.splice(dice.int(0, cuts.length), 0, {
          offset,
          length: whole,
          more,
          garble: dice.chance(60),
          shape,
        });
    }
  }
  if (shape === 'duplicate') cuts.splice(dice.int(0, cuts.length), 0, dice.pick(cuts));
  if (shape === 'missing') cuts.splice(dice.int(0, cuts.length - 1), 1);
  const ordered = order(dice, cuts, shape);
  return ordered.map((cut) => ({ from, packet, cut }));
}

function order(dice: Dice, cuts: readonly Cut[], shape: FragmentShape): Cut[] {
  if (shape === 'reversed') return [...cuts].reverse();
  if (shape === 'shuffled') return dice.shuffle(cuts);
  if (shape === 'first last') return [...cuts.slice(1), ...cuts.slice(0, 1)];
  return [...cuts];
}
