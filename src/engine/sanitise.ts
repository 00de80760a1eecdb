/**
 * The numbers of a state that another process has left: they have no check word, since they change with every packet. Whatever is
 * there, nobody is to read a number that cannot be: what is not finite, or negative, begins anew at 0.
 */
import { REASON_COUNT } from '../core/reasons.ts';
import { cleanShortages } from './shortages.ts';
import type { State } from './state.ts';

/** The state, its numbers in order. */
export function sanitised(state: State): State {
  for (const numbers of [state.counters, state.rules]) {
    for (let i = 0; i < numbers.length; i++) {
      const number = numbers[i]!;
      // Not a number fails as well; -0 would be shown as such.
      if (!(number > 0 && number <= Number.MAX_SAFE_INTEGER)) numbers[i] = 0;
    }
  }
  cleanShortages(state.shortages, REASON_COUNT);
  // Written anew with the first batch.
  state.ports.fill(0);
  return state;
}
