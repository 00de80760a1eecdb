/** TCP sequences: a conversation that is brought to some point, and then what should not, or need not, happen there. */
import type { Dice } from '../dice.ts';
import { type FlowSpec, flagsOf, type Side, type Step, TCP, type TcpSpec } from '../step.ts';
import { someFlows } from './ip.ts';
import { Talk } from './tcp-talk.ts';

export function tcpSequence(dice: Dice): { flows: FlowSpec[]; steps: Step[] } {
  const count = dice.chance(80) ? 1 : dice.int(2, 3);
  const flows = someFlows(dice, TCP, count, dice.pick([80, 443, 22, 40_000]));
  const steps: Step[] = [];
  const talks = flows.map((_, flow) => new Talk(dice, flow));
  for (const talk of talks) steps.push(...damage(dice, opening(dice, talk)));
  for (let rounds = dice.int(2, 10); rounds > 0; rounds--) {
    const talk = dice.pick(talks);
    const roll = dice.int(0, 99);
    const more = roll < 50 ? oddity(dice, talk) : roll < 90 ? passage(dice, talk) : halfClosed(dice, talk);
    steps.push(...damage(dice, more));
  }
  return { flows, steps };
}

function opening(dice: Dice, talk: Talk): Step[] {
  const roll = dice.int(0, 99);
  if (roll < 60) return talk.handshake().slice(0, dice.chance(70) ? 3 : dice.int(1, 2));
  if (roll < 70) {
    // Both at once (RFC 9293 3.5, figure 8); the answers are SYN/ACKs, of one or of both.
    const steps = [talk.say('private', 'S'), talk.say('public', 'S')];
    return [...steps, talk.say('private', 'SA'), talk.say('public', 'SA')].slice(0, dice.int(2, 4));
  }
  if (roll < 80) {
    // Seen from its middle.
    talk.ends.private.heard = dice.next() | 0;
    talk.ends.public.next = talk.ends.private.heard;
    talk.ends.public.heard = talk.ends.private.next;
    return [talk.say('private', dice.pick(['A', 'PA', 'FA', 'R', 'SA', 'A']), dice.int(0, 100))];
  }
  if (roll < 90) return [talk.say('private', 'S'), talk.say('public', dice.pick(['RA', 'R', 'A', 'FA']))];
  if (roll < 95) return [talk.say('public', dice.pick(['S', 'SA', 'A', 'R']))];
  return [];
}

function passage(dice: Dice, talk: Talk): Step[] {
  const roll = dice.int(0, 99);
  if (roll < 45) return talk.exchange(dice.int(1, 4));
  if (roll < 75) return talk.close().slice(0, dice.chance(60) ? 9 : dice.int(1, 3));
  talk.restart();
  return talk.handshake().slice(0, dice.int(1, 3));
}

/** A connection that is about to close, and what passes by or is refused in those states, which last a moment only. */
function halfClosed(dice: Dice, talk: Talk): Step[] {
  const begun = dice.chance(50) ? talk.close().slice(0, dice.int(1, 3)) : [];
  const beside = Array.from({ length: dice.int(1, 4) }, () =>
    apart(
      talk,
      dice.pick(['private', 'public'] as const),
      dice.pick(['S', 'SA', 'SA', 'SF', '', 'FPU', 'SRA']),
      0,
    ),
  );
  return [...begun, ...beside];
}

const ODD_FLAGS = [
  '',
  'S',
  'SA',
  'SU',
  'F',
  'FA',
  'FAU',
  'R',
  'RA',
  'A',
  'AU',
  'PA',
  'P',
  'U',
  'SF',
  'SR',
  'SFA',
  'RF',
  'RFA',
  'FPU',
  'FSRPAU',
  'SAU',
  'RU',
  'SEC',
  'SAE',
  'AEC',
];
/** Distances from the right number: beside it, at the edges of usual windows, and far off. */
const OFFSETS = [
  -1,
  1,
  -2,
  2,
  -100,
  100,
  -1460,
  1460,
  5840,
  -5840,
  65_535,
  -65_535,
  66_000,
  -66_000,
  -66_001,
  66_001,
  131_070,
  1 << 20,
  -(1 << 20),
  0x40000000,
  -0x40000000,
  0x7fffffff,
];

/** One or a few packets that are wrong in some respect. */
function oddity(dice: Dice, talk: Talk): Step[] {
  const from = dice.pick(['private', 'public'] as const);
  const other = from === 'private' ? 'public' : 'private';
  const roll = dice.int(0, 99);
  if (roll < 22) return [bend(dice, apart(talk, from, dice.pick(ODD_FLAGS), dice.pick([0, 0, 1, 300])))];
  if (roll < 40)
    return [
      bendSequence(dice, apart(talk, from, dice.pick(['A', 'PA', 'A', 'FA']), dice.pick([0, 1, 10, 1200]))),
    ];
  if (roll < 52) return resets(dice, talk, from);
  if (roll < 62) {
    // A SYN on a live connection; a challenge ACK (RFC 5961 4), and what the other end makes of it.
    const syn = bend(dice, apart(talk, from, 'S', 0), 30);
    const challenge = apart(talk, other, 'A', 0);
    const heard = (challenge.packet as TcpSpec).ack;
    const reset: Step = { from, packet: { ...(apart(talk, from, 'R', 0).packet as TcpSpec), seq: heard } };
    const answer = apart(talk, other, 'SA', 0);
    return dice.chance(70)
      ? [syn, challenge, reset].slice(0, dice.int(1, 3))
      : [syn, answer, apart(talk, from, 'A', 0)];
  }
  if (roll < 74) {
    const again = talk.again(from);
    return again === null ? [] : Array.from({ length: dice.int(1, 4) }, () => again);
  }
  if (roll < 80) {
    // Keep-alive: one byte behind, and its answer.
    const probe = apart(talk, from, 'A', dice.int(0, 1));
    return [shift(probe, -1), apart(talk, other, 'A', 0)];
  }
  if (roll < 86) {
    // A window that closes, and a probe into it.
    const zero = apart(talk, from, 'A', 0);
    return [{ from, packet: { ...(zero.packet as TcpSpec), window: 0 } }, apart(talk, other, 'A', 1)];
  }
  if (roll < 90) return [spoil(dice, apart(talk, from, dice.pick(['A', 'PA', 'S']), dice.int(0, 40)))];
  if (roll < 95) return talk.exchange(6).filter(() => dice.chance(60));
  // A train of segments, and a reset right behind it.
  return [talk.say(from, 'PA', 500), talk.say(from, 'PA', 500), apart(talk, from, 'R', 0)];
}

function resets(dice: Dice, talk: Talk, from: Side): Step[] {
  const reset = apart(talk, from, dice.pick(['R', 'RA']), 0);
  const packet = reset.packet as TcpSpec;
  if (dice.chance(30)) return [reset];
  if (dice.chance(30)) return [{ from, packet: { ...packet, ack: 0 } }];
  if (dice.chance(10))
    return [{ from, packet: { ...packet, seq: 0, ack: dice.chance(50) ? 0 : packet.ack } }];
  return [shift(reset, dice.pick(OFFSETS))];
}

/** A packet of the conversation that it does not remember having sent. */
function apart(talk: Talk, from: Side, letters: string, data: number): Step {
  const kept = structuredClone(talk.ends);
  const step = talk.say(from, letters, data);
  Object.assign(talk.ends, kept);
  return step;
}

function shift(step: Step, by: number): Step {
  const packet = step.packet as TcpSpec;
  return { ...step, packet: { ...packet, seq: (packet.seq + by) | 0 } };
}

function bendSequence(dice: Dice, step: Step): Step {
  const packet = { ...(step.packet as TcpSpec) };
  if (dice.chance(60)) packet.seq = (packet.seq + dice.pick(OFFSETS)) | 0;
  if (dice.chance(50)) packet.ack = (packet.ack + dice.pick(OFFSETS)) | 0;
  if (dice.chance(20)) packet.window = dice.pick([0, 1, 100, 65_535]);
  return { ...step, packet };
}

function bend(dice: Dice, step: Step, percent = 50): Step {
  return dice.chance(percent) ? bendSequence(dice, step) : step;
}

/** Wrong in a way that no state machine is asked about. */
function spoil(dice: Dice, step: Step): Step {
  const packet = step.packet as TcpSpec;
  if (dice.chance(40)) return { ...step, packet: { ...packet, badChecksum: dice.int(1, 0xfffe) } };
  if (dice.chance(50)) return { ...step, packet: { ...packet, offset: dice.pick([0, 4, 15]) } };
  return { ...step, packet: { ...packet, flags: flagsOf(dice.pick(ODD_FLAGS)) | (dice.int(0, 3) << 6) } };
}

/** Loss before the gateway, duplicates, reordering. */
function damage(dice: Dice, steps: readonly Step[]): Step[] {
  if (dice.chance(60)) return [...steps];
  const damaged = steps.filter(() => !dice.chance(10));
  if (damaged.length > 0 && dice.chance(30)) {
    const i = dice.int(0, damaged.length - 1);
    damaged.splice(dice.int(i, damaged.length), 0, damaged[i]!);
  }
  if (damaged.length > 1 && dice.chance(40)) {
    const i = dice.int(0, damaged.length - 2);
    [damaged[i], damaged[i + 1]] = [damaged[i + 1]!, damaged[i]!];
  }
  return damaged;
}
