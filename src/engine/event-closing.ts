/**
 * The end of all that was told of in an event ring, written by its keeper when there is no engine: the gateway stops, or the state is thrown
 * away. What the last engine could not tell any more is told first.
 */
import { H_SEQUENCE, HOT } from '../conntrack/flow-table.ts';
import { NatgateError } from '../core/errors.ts';
import { EventLog } from './event-log.ts';
import { EventRing, H_EPOCH, H_SETTLED } from './event-ring.ts';
import { flowTableOf, tryState } from './state.ts';

export interface EventsToClose {
  state: ArrayBuffer;
  /** The ring. */
  memory: ArrayBuffer;
  /** ms since 1970. */
  clock: () => number;
  /** ms of the engine's clock. */
  now: number;
  /** Called while the next record would be over one that has not been read; false: write it all the same. */
  wait: () => boolean;
}

/** Ends everything with reason `why` (end-reasons.ts). */
export function endEvents({ state, memory, clock, now, wait }: EventsToClose, why: number): void {
  const opened = tryState(state);
  // Of flows that nobody can read nothing can be told.
  if (opened instanceof NatgateError) return;
  const { capacity } = opened;
  const table = flowTableOf(opened);
  const log = new EventLog({ memory, clock }, table, { now });
  const { ring } = log;
  if (ring.wanted === 0 && ring.head === 0) return;
  const room = () => {
    while (ring.isFull && wait());
  };
  for (let flow = 0; flow < capacity; flow++) {
    if (!table.isLive(flow) || log.isEnded(flow)) continue;
    room();
    if ((table.hot[flow * HOT + H_SEQUENCE]! & 1) !== 0) {
      log.gone(flow, why);
      continue;
    }
    log.adopted(flow);
    room();
    log.end(flow, why);
  }
  log.slots.endAll(why, room);
}

/** The flow table will be made anew: its lives are counted from the beginning, and have other names. `time`: ms since 1970. */
export function forgetLives(memory: ArrayBuffer, time: number): void {
  const ring = new EventRing(memory);
  ring.marks.fill(0);
  ring.words[H_SETTLED] = ring.head;
  ring.words[H_EPOCH] = Math.max(ring.epoch + 1, Math.floor(time / 1000));
}
