/** Payload of packets in slots as text, one character a byte (latin1): what helpers read. Not for the hot path. */
import { place, run } from './slot-bytes.ts';

/** `length` bytes from `position` as text, one character a byte. `buffer`: over the arena. */
export function textOf(buffer: Buffer, slot: number, position: number, length: number): string {
  let text = '';
  for (let done = 0; done < length; ) {
    const piece = Math.min(length - done, run(position + done));
    const at = place(slot, position + done);
    text += buffer.toString('latin1', at, at + piece);
    done += piece;
  }
  return text;
}

/** Writes such text at `position`. */
export function putText(buffer: Buffer, slot: number, position: number, text: string): void {
  for (let done = 0; done < text.length; ) {
    const piece = Math.min(text.length - done, run(position + done));
    buffer.write(text.slice(done, done + piece), place(slot, position + done), 'latin1');
    done += piece;
  }
}
