/**
 * Makes a sequence that breaks the engine short: by delta debugging (ddmin, Zeller and Hildebrandt 2002), first of steps, then
 * of the packets within its batches. What remains breaks the same rule.
 */
import { BATCH } from '../../src/engine/arena.ts';
import { Broken } from '../engine/invariants.ts';
import type { Configuration } from './configurations.ts';
import type { Step } from './steps.ts';
import { World } from './world.ts';

/** What is wrong after these steps, everything looked at after each; null when nothing is. */
export function replay(configuration: Configuration, steps: readonly Step[], deep = true): Error | null {
  try {
    const world = new World(configuration);
    world.lookClosely();
    for (const step of steps) {
      world.apply(step);
      if (deep) world.checkDeep();
    }
    world.checkDeep();
    return null;
  } catch (error) {
    return error as Error;
  }
}

/** What two failures have in common when they are one. */
export function kindOf(error: Error): string {
  if (error instanceof Broken) return error.kind;
  return `${error.name}: ${error.message.slice(0, 60)}`;
}

/** The steps that are needed, in at most `seconds`. Returns them as they are when they do not break anything. */
export function minimise(configuration: Configuration, steps: readonly Step[], seconds: number): Step[] {
  const until = performance.now() + seconds * 1000;
  const failure = replay(configuration, steps, false);
  if (failure === null) return [...steps];
  const kind = kindOf(failure);
  const breaks = (some: readonly Step[], deep: boolean) => {
    const found = replay(configuration, some, deep);
    return found !== null && kindOf(found) === kind;
  };
  let left = shrink(steps, (some) => breaks(some, false), until);
  left = left.flatMap((step): Step[] =>
    step.kind === 'batch' ? step.arrivals.map((arrival) => ({ ...step, arrivals: [arrival] })) : [step],
  );
  // One packet a batch is easier to read; some failures need them in one.
  if (breaks(left, false)) return shrink(left, (some) => breaks(some, false), until);
  return shrinkBatches(joined(left), (some) => breaks(some, false), until);
}

/** One-packet batches of the same time put together again. */
function joined(steps: readonly Step[]): Step[] {
  const found: Step[] = [];
  for (const step of steps) {
    const last = found.at(-1);
    if (step.kind === 'batch' && last?.kind === 'batch' && last.now === step.now) {
      if (last.arrivals.length < BATCH) {
        last.arrivals.push(...step.arrivals);
        continue;
      }
    }
    found.push(step.kind === 'batch' ? { ...step, arrivals: [...step.arrivals] } : step);
  }
  return found;
}

function shrinkBatches(steps: Step[], breaks: (some: readonly Step[]) => boolean, until: number): Step[] {
  const left = [...steps];
  for (const [i, step] of left.entries()) {
    if (step.kind !== 'batch') continue;
    const arrivals = shrink(
      step.arrivals,
      (some) => breaks(left.with(i, { ...step, arrivals: [...some] })),
      until,
    );
    left[i] = { ...step, arrivals };
  }
  return left;
}

function shrink<T>(items: readonly T[], breaks: (some: readonly T[]) => boolean, until: number): T[] {
  let left = [...items];
  for (let parts = 2; left.length > 1 && performance.now() < until; ) {
    const size = Math.ceil(left.length / parts);
    let cut = false;
    // From the end: what comes after the failure goes first.
    for (let at = Math.floor((left.length - 1) / size) * size; at >= 0; at -= size) {
      if (performance.now() >= until) break;
      const without = [...left.slice(0, at), ...left.slice(at + size)];
      if (!breaks(without)) continue;
      left = without;
      cut = true;
    }
    if (cut) parts = Math.max(parts - 1, 2);
    else if (size === 1) break;
    else parts = Math.min(parts * 2, left.length);
  }
  return left;
}
