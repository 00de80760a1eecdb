/**
 * The engine process watches over its workers: its control thread, whose event loop is free, looks at each worker's beat a few times a
 * second. A worker that is stuck in a packet cannot say so; its processor time tells that from one that has no turn (silence.ts), and its
 * arena says which packet it is (offence.ts).
 *
 * A worker beats with each turn of its loop, so nothing but the handling of one batch, or of control messages, lies between two beats; those
 * have more time, because a large configuration takes it. Before the first turn (state formatted or adopted) nobody is watched.
 */
import { HANDLING } from '../../engine/arena.ts';
import { type Offence, offenceIn } from '../../engine/offence.ts';
import type { Addon } from '../../link/addon.ts';
import { BEAT_FLAG, CONTROL_BUSY_FLAG } from './data-plane.ts';
import { type Limits, Silence } from './silence.ts';

const LOOK_MS = 200;
/** A batch takes well under a millisecond. */
const BATCH_LIMITS: Limits = { silence: 800, cpu: 300, sleep: Number.POSITIVE_INFINITY };
const CONTROL_LIMITS: Limits = { silence: 10_000, cpu: 8000, sleep: Number.POSITIVE_INFINITY };

export interface WatchedWorker {
  flags: Int32Array;
  /** By which its exchange is known. */
  wakeFd: number;
}

export interface Stall {
  worker: number;
  /** What happened, for a log. */
  reason: string;
  offence: Offence;
}

/** Calls `onStall` once, for the first worker that is stuck. Returns what ends the watch. */
export function watchWorkers(
  workers: readonly WatchedWorker[],
  native: Pick<Addon, 'arenaCopy' | 'arenaCpu'>,
  onStall: (stall: Stall) => void,
  now: () => number = () => performance.now(),
): () => void {
  const beatOf = ({ flags }: WatchedWorker) => Atomics.load(flags, BEAT_FLAG);
  const silences = workers.map((worker) => new Silence(BATCH_LIMITS, now(), beatOf(worker)));
  const timer = setInterval(() => {
    for (const [number, worker] of workers.entries()) {
      const silence = silences[number]!;
      const beat = beatOf(worker);
      if (beat === 0) continue;
      const isControl = Atomics.load(worker.flags, CONTROL_BUSY_FLAG) !== 0;
      const look = () => ({ cpu: native.arenaCpu(worker.wakeFd), state: '' });
      const verdict = silence.judge(now(), beat, look, isControl ? CONTROL_LIMITS : BATCH_LIMITS);
      if (verdict !== 'stuck') continue;
      clearInterval(timer);
      onStall(stallOf(number, worker.wakeFd, native, silence.ms, isControl));
      return;
    }
  }, LOOK_MS);
  return () => clearInterval(timer);
}

function stallOf(
  number: number,
  wakeFd: number,
  native: Pick<Addon, 'arenaCopy'>,
  ms: number,
  isControl: boolean,
): Stall {
  const none = new Uint8Array(65536);
  const read = (offset: number, bytes: number) =>
    native.arenaCopy(wakeFd, offset, bytes) ?? none.subarray(0, bytes);
  const offence = isControl ? { packets: [] } : offenceIn(read);
  const [slot] = new Int32Array(Uint8Array.from(read(HANDLING * 4, 4)).buffer);
  const where = isControl ? 'a control message' : slot! >= 0 ? 'one packet' : 'one turn of its loop';
  return {
    worker: number,
    reason: `worker ${number} has been at ${where} for ${Math.round(ms)} ms`,
    offence,
  };
}
