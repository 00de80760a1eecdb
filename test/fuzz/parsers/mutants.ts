/** Mutants of inputs, of text and of bytes; all of them follow from the dice. */
import type { Dice } from '../dice.ts';

const ODD_BYTES = [0, 1, 2, 3, 4, 7, 8, 10, 13, 15, 16, 31, 32, 45, 46, 64, 127, 128, 192, 240, 254, 255];
const ODD_NUMBERS = [
  0,
  1,
  2,
  15,
  16,
  255,
  256,
  1023,
  1024,
  32_767,
  32_768,
  65_535,
  65_536,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  -1,
];
const ODD_TEXTS = [
  ' ',
  '  ',
  '\n',
  '\r\n',
  '\t',
  '\\',
  '"',
  "'",
  '#',
  ':',
  '=',
  '-',
  '--',
  ',',
  '/',
  '.',
  '..',
  '!',
  '(',
  ')',
  '[',
  ']',
  '{',
  '}',
  '&a ',
  '*a',
  '<<: ',
  '|\n',
  '? ',
  '%',
  '0',
  '00',
  '-1',
  '1.5',
  '65535',
  '65536',
  '4294967296',
  '1e9',
  '0x10',
  'null',
  '~',
  'true',
  '0.0.0.0/0',
  '255.255.255.255',
  '10.0.0.1-10.0.0.9',
  '127.0.0.1',
  '\u0000',
  'é',
  '\u2013',
  '\u00a0',
  '\ud83d\ude00',
  '__proto__',
  'constructor',
  'toString',
];

export class Mutator {
  readonly #dice: Dice;
  readonly #isText: boolean;
  readonly #words: readonly Uint8Array[];
  readonly #most: number;

  constructor(
    dice: Dice,
    form: 'bytes' | 'latin1' | 'utf8',
    words: readonly string[],
    numbers: readonly number[],
    most: number,
  ) {
    this.#dice = dice;
    this.#isText = form !== 'bytes';
    this.#most = most;
    const all = [...new Set([...numbers, ...ODD_NUMBERS])].filter(Number.isInteger);
    const texts = [...words, ...ODD_TEXTS, ...(this.#isText ? all.map(String) : [])];
    const encoding = form === 'utf8' ? 'utf8' : 'latin1';
    this.#words = [
      ...texts.map((text) => Buffer.from(text, encoding)),
      ...(this.#isText ? [] : all.flatMap(encodings)),
    ];
  }

  /** A mutant of `input`; `other` is another input that parts may come from. */
  mutate(input: Uint8Array, other: Uint8Array): Uint8Array {
    const { below } = { below: (limit: number) => this.#dice.below(limit) };
    let bytes: Buffer = Buffer.from(input);
    for (let n = 1 + below(this.#dice.chance(60) ? 12 : 3); n > 0; n--) bytes = this.#once(bytes, other);
    return bytes.subarray(0, this.#most);
  }

  #once(bytes: Buffer, other: Uint8Array): Buffer {
    const dice = this.#dice;
    const at = dice.below(Math.min(bytes.length + 1, 65_536));
    const size = dice.chance(200) ? dice.below(9) : dice.below(Math.min(bytes.length + 1, 65_536));
    switch (dice.below(10)) {
      case 0:
        return put(bytes, at, size, []);
      case 1:
        return put(bytes, at, 0, dice.one(this.#words));
      case 2: {
        const word = dice.one(this.#words);
        return put(bytes, at, this.#isText ? size : word.length, word);
      }
      case 3:
        return put(bytes, at, 1, [this.#byte()]);
      case 4:
        if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << dice.below(8));
        return bytes;
      case 5: {
        const from = dice.below(Math.min(bytes.length + 1, 65_536));
        return put(bytes, at, dice.chance(128) ? 0 : size, bytes.subarray(from, from + size));
      }
      case 6: {
        const from = dice.below(Math.min(other.length + 1, 65_536));
        return put(bytes, at, dice.chance(128) ? 0 : size, other.subarray(from, from + size));
      }
      case 7:
        return dice.chance(128)
          ? Buffer.concat([bytes.subarray(0, at), other.subarray(Math.min(at, other.length))])
          : this.#number(bytes, at);
      case 8:
        return this.#number(bytes, at);
      default:
        return dice.chance(6) ? this.#again(bytes, at, size) : put(bytes, at, 0, [this.#byte()]);
    }
  }

  #byte(): number {
    const dice = this.#dice;
    if (this.#isText && dice.chance(200)) return 32 + dice.below(95);
    return dice.chance(128) ? dice.one(ODD_BYTES) : dice.below(256);
  }

  /** The digits at or behind `at` become another number; of bytes, one is a little more or less. */
  #number(bytes: Buffer, at: number): Buffer {
    const dice = this.#dice;
    if (!this.#isText) {
      if (at < bytes.length) bytes[at] = bytes[at]! + dice.below(9) - 4;
      return bytes;
    }
    let start = at;
    while (start < bytes.length && !isDigit(bytes[start]!)) start++;
    let end = start;
    while (end < bytes.length && isDigit(bytes[end]!)) end++;
    if (start === end) return bytes;
    const old = Number(bytes.toString('latin1', start, end));
    const number = dice.chance(128)
      ? Math.max(old + dice.below(5) - 2, 0)
      : dice.chance(128)
        ? dice.one(ODD_NUMBERS)
        : dice.below(65_536);
    return put(bytes, start, end - start, Buffer.from(String(number)));
  }

  /** A part of it, as often as fits: what a parser does with much of one thing. */
  #again(bytes: Buffer, at: number, size: number): Buffer {
    const part = bytes.subarray(at, at + Math.max(size, 1));
    if (part.length === 0) return bytes;
    const room = Math.max(this.#most - bytes.length, 0);
    const times = Math.min(Math.floor(room / part.length), 1 + this.#dice.below(20_000));
    return put(bytes, at, 0, Buffer.concat(Array.from({ length: times }, () => part)));
  }
}

function put(bytes: Buffer, at: number, gone: number, piece: Uint8Array | readonly number[]): Buffer {
  return Buffer.concat([bytes.subarray(0, at), Uint8Array.from(piece), bytes.subarray(at + gone)]);
}

function isDigit(byte: number): boolean {
  return byte >= 48 && byte <= 57;
}

/** A number as bytes: one, two, four; of either order. */
function encodings(number: number): Buffer[] {
  const found: Buffer[] = [];
  if (number >= -128 && number < 256) found.push(Buffer.of(number & 0xff));
  if (number >= -32_768 && number < 65_536) {
    const two = Buffer.of(number & 0xff, (number >> 8) & 0xff);
    found.push(two, Buffer.from(two).reverse());
  }
  const four = Buffer.alloc(4);
  four.writeInt32LE(number | 0);
  return [...found, four, Buffer.from(four).reverse()];
}
