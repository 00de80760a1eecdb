/** What metrics are made of, read from the state of a running gateway when somebody asks. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { readBatchSizes, readTurnTimes, sumOfCounters } from '../../engine/counters.ts';
import { PressureReader } from '../observe/pressure.ts';
import { readStatus, recordOf, statesOf } from '../status.ts';
import type { WhichGateway } from '../teardown.ts';
import type { Observed } from './metric-list.ts';

/** `log`: what could not be read. */
export function observer(
  which: WhichGateway,
  log: (line: string) => void,
): { observe(): Observed; close(): void } {
  const delay = monitorEventLoopDelay();
  delay.enable();
  const pressure = new PressureReader(
    () => recordOf(which),
    (error) => log(`flows could not be gone through: ${error.message}`),
  );
  return {
    observe() {
      const counters = sumOfCounters(statesOf(recordOf(which), false));
      const seconds = (nanoseconds: number) => (Number.isFinite(nanoseconds) ? nanoseconds / 1e9 : 0);
      const late = { mean: seconds(delay.mean), p99: seconds(delay.percentile(99)) };
      delay.reset();
      return {
        status: readStatus(which),
        batches: readBatchSizes(counters),
        turns: readTurnTimes(counters),
        pressure: pressure.latest(),
        delay: late,
      };
    },
    close: () => delay.disable(),
  };
}
