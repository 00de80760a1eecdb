import fc from 'fast-check';
import { expect, test } from 'vitest';
import { COLD } from '../../src/conntrack/flow-table.ts';
import { TimerWheel } from '../../src/conntrack/timer-wheel.ts';

const FLOWS = 16;
/** The wheel is 4096 slots of a second. */
const HORIZON_MS = 4095_000;

const start = fc.constantFrom(0, 1, 999, 2 ** 31 - 5000, 2 ** 31 - 1, -(2 ** 31), -1500, 123_456_789);
const delay = fc.oneof(
  fc.integer({ min: 0, max: 5000 }),
  fc.integer({ min: 0, max: 600_000 }),
  fc.integer({ min: 0, max: 3 * HORIZON_MS }),
);
const step = fc.oneof(
  fc.record({ kind: fc.constant('schedule' as const), flow: fc.nat(FLOWS - 1), delay }),
  fc.record({ kind: fc.constant('unschedule' as const), flow: fc.nat(FLOWS - 1) }),
  fc.record({
    kind: fc.constant('advance' as const),
    by: fc.oneof(fc.nat(3000), fc.nat(100_000), fc.nat(2 * HORIZON_MS)),
    budget: fc.constantFrom(0, 1, 3, 1000),
  }),
);

test('against a list: never early, at most a second late, budget kept, also when the clock wraps', () => {
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 80 }), (from, steps) => {
      const cold = new Int32Array(FLOWS * COLD);
      const wheel = new TimerWheel(cold, from | 0);
      /** Flow → deadline, in a time that does not wrap. */
      const deadlines = new Map<number, number>();
      let now = from;
      /** Takes what is due; a flow whose time is not up is hung again, as the tracker does. */
      const advance = (budget: number): number => {
        let looks = 0;
        wheel.advance(now | 0, budget, (flow, at) => {
          looks++;
          expect(at).toBe(now | 0);
          const deadline = deadlines.get(flow);
          expect(deadline, `flow ${flow} hangs on the wheel`).toBeDefined();
          if (deadline! <= now) deadlines.delete(flow);
          else {
            // Looked at before its time only because the wheel is shorter than its delay.
            wheel.schedule(flow, now | 0, deadline! - now);
          }
        });
        expect(looks).toBeLessThanOrEqual(budget);
        return looks;
      };
      for (const move of steps) {
        if (move.kind === 'schedule') {
          if (deadlines.has(move.flow)) wheel.unschedule(move.flow);
          wheel.schedule(move.flow, now | 0, move.delay);
          deadlines.set(move.flow, now + move.delay);
        } else if (move.kind === 'unschedule') {
          if (deadlines.delete(move.flow)) wheel.unschedule(move.flow);
        } else {
          now += move.by;
          while (advance(move.budget) === move.budget && move.budget > 0);
          if (move.budget === 0) continue;
          for (const [flow, deadline] of deadlines) {
            expect(deadline, `flow ${flow} is late`).toBeGreaterThan(now - 1000);
          }
        }
      }
      now += 4 * HORIZON_MS;
      while (advance(1000) > 0);
      expect(deadlines.size).toBe(0);
    }),
    { numRuns: 200 },
  );
});

test('within the wheel’s length a flow is looked at once, when it is due', () => {
  fc.assert(
    fc.property(
      start,
      fc.array(fc.integer({ min: 1, max: HORIZON_MS - 1000 }), { maxLength: FLOWS }),
      (from, delays) => {
        const wheel = new TimerWheel(new Int32Array(FLOWS * COLD), from | 0);
        for (const [flow, ms] of delays.entries()) wheel.schedule(flow, from | 0, ms);
        const looked = new Map<number, number>();
        for (let t = 0; t <= HORIZON_MS; t += 500) {
          wheel.advance((from + t) | 0, 1000, (flow) => {
            expect(looked.has(flow)).toBe(false);
            looked.set(flow, t);
          });
        }
        expect(looked.size).toBe(delays.length);
        for (const [flow, t] of looked) {
          expect(t).toBeGreaterThanOrEqual(delays[flow]!);
          expect(t).toBeLessThan(delays[flow]! + 1500);
        }
      },
    ),
    { numRuns: 20 },
  );
});
