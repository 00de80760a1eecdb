/** Sequence number `number` of the run with `seed`. */
import { Dice } from '../dice.ts';
import type { FlowSpec, Sequence, Step } from '../step.ts';
import { errorSequence } from './errors.ts';
import { fragmentSequence } from './fragments.ts';
import { querySequence, udpSequence } from './queries.ts';
import { tcpSequence } from './tcp.ts';

type Generator = (dice: Dice) => { flows: FlowSpec[]; steps: Step[] };

/** Generators and how many of a hundred sequences are theirs. */
const GENERATORS: readonly (readonly [string, number, Generator])[] = [
  ['tcp', 55, tcpSequence],
  ['errors', 20, errorSequence],
  ['fragments', 12, fragmentSequence],
  ['udp', 7, udpSequence],
  ['queries', 6, querySequence],
];

export const kindNames: readonly string[] = GENERATORS.map(([kind]) => kind);

export function generate(seed: number, number: number): Sequence {
  const dice = new Dice(seed, number);
  let roll = dice.int(0, 99);
  for (const [kind, share, generator] of GENERATORS) {
    if (roll < share) return { number, kind, ...generator(dice) };
    roll -= share;
  }
  throw new Error('the shares of the generators do not add up to 100');
}
