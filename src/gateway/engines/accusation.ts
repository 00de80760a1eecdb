/** The last but one word of a worker whose engine threw: the error, and the packet that it was at. */
import { HANDLING } from '../../engine/arena.ts';
import { offenceIn, untranslated } from '../../engine/offence.ts';
import type { QuarantineMessage } from './messages.ts';

/** `meta`: the engine's rows. */
export function accusation(
  worker: number,
  arena: ArrayBuffer,
  meta: Int32Array,
  error: unknown,
): QuarantineMessage {
  const slot = new Int32Array(arena)[HANDLING]!;
  const offence = untranslated(
    offenceIn((offset, bytes) => new Uint8Array(arena, offset, bytes)),
    slot,
    meta,
  );
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { type: 'quarantine', worker, reason, packets: offence.packets };
}
