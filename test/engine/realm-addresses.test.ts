/** What private hosts and routers write of themselves into options and ICMP extensions stays on their side. */
import { describe, expect, test } from 'vitest';
import { icmpError } from '../../src/testing/index.ts';
import { decode, onesSum } from '../wire/decode.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC } from './bed.ts';
import { A, only, PAIR, poolOf, udp, X } from './nat-bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

const SECRET = [10, 77, 0, 2];
const INNER = [10, 77, 9, 1];
/** Room for four addresses, two of them written. */
const ROUTE = [7, 19, 12, ...SECRET, ...INNER, 0, 0, 0, 0, 0, 0, 0, 0];
/** Times with addresses, one of two written. */
const STAMPS = [68, 20, 13, 1, ...SECRET, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0];
const TRACED = [82, 12, 0, 7, 0, 1, 0, 2, ...SECRET];
const TIMES = [68, 12, 9, 0, 0, 0, 1, 2, 0, 0, 0, 0];
const NOPS = (count: number) => new Array<number>(count).fill(1);

function withOptions(packet: Uint8Array, options: readonly number[]): Uint8Array {
  const { src, dst, protocol, body } = decode(packet);
  return rawPacket({ src, dst, protocol, body, options: Uint8Array.from(options) });
}

function has(packet: Uint8Array, address: readonly number[]): boolean {
  return Buffer.from(packet).includes(Buffer.from(address));
}

describe.each([
  ['record route', ROUTE, NOPS(19)],
  ['timestamp with addresses', STAMPS, NOPS(20)],
  ['traceroute', TRACED, NOPS(12)],
])('%s', (_, option, blank) => {
  const pad = NOPS((4 - (option.length % 4)) % 4);

  test('goes out as no-operations, the first time and later, and comes in as it is', () => {
    const bed = new Bed();
    for (let time = 0; time < 4; time++) {
      const out = only(PUBLIC, bed.out(withOptions(udp(`${X}:40000`, `${A}:7`), [...option, ...pad])));
      expect([...out.options]).toEqual([...blank, ...pad]);
      const back = only(
        PRIVATE,
        bed.in(withOptions(udp(`${A}:7`, `${EXTERNAL}:40000`), [...option, ...pad])),
      );
      expect([...back.options]).toEqual([...option, ...pad]);
    }
  });

  test('of a private server that answers goes out as no-operations', () => {
    const bed = new Bed({ nat: { ...poolOf([EXTERNAL]), rules: [], prefixes: [PAIR] } });
    only(PRIVATE, bed.in(udp(`${A}:7`, '198.18.1.18:5')));
    const answer = only(PUBLIC, bed.out(withOptions(udp(`${X}:5`, `${A}:7`), [...option, ...pad])));
    expect([answer.src, ...answer.options]).toEqual(['198.18.1.18', ...blank, ...pad]);
  });

  test('of a flow that is not translated stays', () => {
    const { rules, ...rest } = poolOf([EXTERNAL]);
    const exempt = { ...rules[0]!, name: 'none', action: 'none' as const, addresses: [] };
    const bed = new Bed({ nat: { ...rest, rules: [exempt] } });
    const out = only(PUBLIC, bed.out(withOptions(udp(`${X}:40000`, `${A}:7`), [...option, ...pad])));
    expect([out.src, ...out.options]).toEqual([X, ...option, ...pad]);
  });
});

test('the option of every piece of a datagram', () => {
  const bed = new Bed();
  const body = Uint8Array.from([0x9c, 0x40, 0, 7, 2408 >> 8, 2408 & 255, 0, 0, ...filler(2400)]);
  const options = Uint8Array.from([...ROUTE, 1]);
  for (const piece of cut(rawPacket({ src: X, dst: A, protocol: 17, body, options }), 800)) {
    const sent = decode(bed.out(piece)[0]!.packet);
    expect([...sent.options]).toEqual(NOPS(20));
    expect(sent.headerChecksumOk).toBe(true);
  }
});

test('times alone, other options, an empty one, and an option behind the end of the list stay', () => {
  for (const options of [
    TIMES,
    [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    [148, 4, 0, 0],
    [0, ...ROUTE],
    [1, 1, 1, 0],
  ]) {
    const bed = new Bed();
    const out = only(PUBLIC, bed.out(withOptions(udp(`${X}:40000`, `${A}:7`), options)));
    expect([...out.options]).toEqual(options);
  }
});

test('several options: only what records is blank', () => {
  const options = [148, 4, 0, 0, ...TRACED, 1, ...STAMPS.slice(0, 12).with(1, 12), 1, 1, 0];
  const bed = new Bed();
  const out = only(PUBLIC, bed.out(withOptions(udp(`${X}:40000`, `${A}:7`), options)));
  expect([...out.options]).toEqual([148, 4, 0, 0, ...NOPS(27), 0]);
});

describe('ICMP errors of the private side', () => {
  /** A flow from outside to a private host by its 1:1 address, and its packet as it arrived there. */
  const begin = () => {
    const bed = new Bed({ nat: { ...poolOf([EXTERNAL]), rules: [], prefixes: [PAIR] } });
    const arrived = bed.in(udp(`${A}:7`, '198.18.1.18:5'))[0]!.packet;
    return { bed, arrived };
  };
  const error = (packet: Uint8Array, rest = 0, type = 11, from = '10.77.0.9') =>
    icmpError({ from, to: A, type, code: 0, packet, rest });

  test('show no recorded route of their own, nor of what they quote', () => {
    const { bed, arrived } = begin();
    const quoting = error(withOptions(arrived, [...ROUTE, 1]));
    const out = only(PUBLIC, bed.out(withOptions(quoting, [...STAMPS])));
    expect([...out.options]).toEqual(NOPS(20));
    const quoted = decode(out.payload);
    expect(quoted).toMatchObject({ src: A, dst: '198.18.1.18', headerChecksumOk: true, checksumOk: true });
    expect([...quoted.options]).toEqual(NOPS(20));
  });

  /** The extension structure of these objects: class, type, content. */
  const extension = (...objects: (readonly [number, number, readonly number[]])[]) => {
    const body = objects.flatMap(([kind, type, content]) => [0, content.length + 4, kind, type, ...content]);
    const bytes = Uint8Array.from([0x20, 0, 0, 0, ...body]);
    new DataView(bytes.buffer).setUint16(2, 0xffff - onesSum(bytes));
    return bytes;
  };
  const LABELS = [1, 1, [1, 0x86, 0xa1, 1]] as const;
  const INTERFACE = [2, 0x0c, [0, 0, 0, 3, 0, 1, 0, 0, ...INNER]] as const;
  const NODE = [5, 1, [0, 1, 0, 0, ...INNER]] as const;
  const extended = (packet: Uint8Array, tail: Uint8Array, words = 32) => {
    const padded = new Uint8Array(words * 4 + tail.length);
    padded.set(packet);
    padded.set(tail, words * 4);
    return padded;
  };

  test.each([3, 11, 12])('of type %i leave without an extension that names an interface', (type) => {
    for (const tail of [
      extension(INTERFACE),
      extension(LABELS, INTERFACE),
      extension(NODE),
      // What nobody can read.
      Uint8Array.from([0x10, 0, 0, 0, ...INNER]),
      Uint8Array.from([0x20, 0, 0, 0, 0, 6, 1, 1, ...INNER]),
      Uint8Array.from([0x20, 0, 0, 0, 0, 0, 1, 1, ...INNER]),
      Uint8Array.from([0x20, 0, 0, 0, 0, 8, 1, 1, ...INNER, 9]),
      Uint8Array.from([...INNER].slice(0, 3)),
    ]) {
      const { bed, arrived } = begin();
      const out = only(PUBLIC, bed.out(error(extended(arrived, tail), 32 << 16, type)));
      expect(out.length).toBe(20 + 8 + 128);
      expect(out.body[5]).toBe(0);
      expect(has(out.body, INNER)).toBe(false);
    }
  });

  test('keep labels, and what errors from outside say', () => {
    const { bed, arrived } = begin();
    const tail = extension(LABELS);
    const out = only(PUBLIC, bed.out(error(extended(arrived, tail), 32 << 16)));
    expect(out.payload.subarray(128)).toEqual(tail);
    expect(out.body[5]).toBe(32);
    const answer = only(PUBLIC, bed.out(udp(`${X}:5`, `${A}:7`)));
    expect(answer.src).toBe('198.18.1.18');
    const sent = udp('198.18.1.18:5', `${A}:7`);
    const from = icmpError({
      from: '192.0.2.1',
      to: '198.18.1.18',
      type: 11,
      code: 0,
      packet: extended(sent, extension(INTERFACE)),
      rest: 32 << 16,
    });
    const into = only(PRIVATE, bed.in(from));
    expect(into.payload.subarray(128)).toEqual(extension(INTERFACE));
  });

  test('whose unused field somebody has written into pass as they are', () => {
    for (const words of [1, 5, 7, 31]) {
      const { bed, arrived } = begin();
      const out = only(PUBLIC, bed.out(error(extended(arrived, Uint8Array.from(INNER)), words << 16)));
      expect(out.body[5]).toBe(words);
      expect(out.length).toBe(28 + 128 + INNER.length);
    }
  });

  test('with an extension far behind, of any size', () => {
    for (const words of [32, 33, 100, 120]) {
      const { bed, arrived } = begin();
      const out = only(PUBLIC, bed.out(error(extended(arrived, extension(INTERFACE), words), words << 16)));
      expect(out.length).toBe(28 + words * 4);
      const other = begin();
      // A claim that nothing follows.
      const none = only(
        PUBLIC,
        other.bed.out(error(extended(other.arrived, new Uint8Array(0), words), words << 16)),
      );
      expect(none.body[5]).toBe(words);
    }
  });
});
