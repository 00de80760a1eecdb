/** What is fuzzed: a parser, what it is told, and what must hold whatever it is told. */
import { NatgateError } from '../../../src/core/errors.ts';
import { Broken } from '../../engine/invariants.ts';

export interface Target {
  name: string;
  /** Files that its coverage is about, from src/. */
  files: readonly string[];
  /** `bytes`, or how bytes are a text. */
  form: 'bytes' | 'latin1' | 'utf8';
  /** Good inputs. */
  seeds: () => readonly (string | Uint8Array)[];
  /** Throws what is wrong. A refusal of the input is no fault: see refused(). */
  run: (input: Uint8Array, text: string) => void | Promise<void>;
  /** Longest input, bytes; default 64 KiB. */
  most?: number;
}

/** What `read` gives; null where it refuses the input as it may, with a NatgateError that says what is wrong. */
export function refused<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof NatgateError)) throw error;
    if (error.message === '' || error.code === '') throw new Broken('mute', 'an error says nothing');
    return null;
  }
}

/** Throws a Broken unless `holds`. */
export function must(holds: boolean, kind: string, particulars: () => string = () => ''): void {
  if (!holds) throw new Broken(kind, particulars());
}

/** Whether two values are the same when written down. */
export function mustEqual(one: unknown, other: unknown, kind: string): void {
  const [a, b] = [JSON.stringify(one), JSON.stringify(other)];
  must(a === b, kind, () => `${a} is not ${b}`.slice(0, 2000));
}
