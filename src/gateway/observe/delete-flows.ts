/**
 * Ending flows that a filter means: they are looked for here, in the state files, and named to the engine by number and life, DELETED_AT_ONCE
 * at a time, each lot after the answer to the one before. So the data plane never stops for longer than one lot, however many flows go, and
 * a flow that took a record over in the meantime is not hit.
 *
 * What begins after its place in the table was looked at is not ended, as with `conntrack -F`.
 */
import { setImmediate } from 'node:timers/promises';
import { NatgateError } from '../../core/errors.ts';
import { DELETED_AT_ONCE } from '../engines/messages.ts';
import { type ListedFlow, parseFlowId } from './flow-list.ts';

/** Looked at between two turns of the event loop: some milliseconds. */
export const FLOWS_AT_ONCE = 2048;

/** Ends flows of one worker, pairs of number and H_SEQUENCE; null: there is no engine at the moment. */
export type DeleteFlows = (worker: number, flows: Int32Array) => Promise<number | null>;

/** Returns how many have ended. Throws NatgateError `engine_away`. */
export async function deleteFlows(
  flows: Iterable<ListedFlow>,
  matches: (flow: ListedFlow) => boolean,
  ask: DeleteFlows,
): Promise<number> {
  let ended = 0;
  let worker = 0;
  let lot: number[] = [];
  const send = async () => {
    if (lot.length === 0) return;
    const count = await ask(worker, Int32Array.from(lot));
    lot = [];
    if (count === null) {
      throw new NatgateError(
        'engine_away',
        `the packet engine is being started again; ${ended} flows have been deleted`,
        'try again',
      );
    }
    ended += count;
  };
  let looked = 0;
  for (const flow of flows) {
    // Others want to be served meanwhile.
    if (++looked % FLOWS_AT_ONCE === 0) await setImmediate();
    if (!matches(flow)) continue;
    const place = parseFlowId(flow.id)!;
    if (place.worker !== worker || lot.length >= DELETED_AT_ONCE * 2) await send();
    worker = place.worker;
    lot.push(place.flow, place.life);
  }
  await send();
  return ended;
}
