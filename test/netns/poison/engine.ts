/**
 * An engine with bugs: a packet that says so in its first bytes behind 28 of header (UDP) makes it throw, or never end. Only the packets
 * that the engine handles one by one, as the first ones of a flow.
 */
import { packetOffset } from '../../../src/engine/arena.ts';
import { Engine } from '../../../src/engine/engine.ts';
import { HANG, THROW } from './words.ts';

const AT = 28;

interface Inside {
  bytes: { u8: Uint8Array };
  handleFlow(slot: number, m: number, now: number): number;
}

const inside = Engine.prototype as unknown as Inside;
const { handleFlow } = inside;

inside.handleFlow = function (slot, m, now) {
  const { u8 } = this.bytes;
  if (says(u8, slot, THROW)) throw new RangeError('a bug for the test');
  while (says(u8, slot, HANG));
  return handleFlow.call(this, slot, m, now);
};

function says(u8: Uint8Array, slot: number, word: string): boolean {
  const from = packetOffset(slot) + AT;
  for (let i = 0; i < word.length; i++) if (u8[from + i] !== word.charCodeAt(i)) return false;
  return true;
}
