/** Packets: parsing reads nothing outside of them, and both ways of parsing say the same. */
import { OK } from '../../../../src/core/reasons.ts';
import { Bytes } from '../../../../src/wire/bytes.ts';
import {
  KIND_ERROR,
  KIND_FLOW,
  M_FRAGMENT,
  M_KIND,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PROTOCOL,
  META,
  parseAny,
  parsePacket,
  parseQuote,
} from '../../../../src/wire/parse.ts';
import { highestSack, synOptions } from '../../../../src/wire/tcp-options.ts';
import { seeds } from '../../seeds.ts';
import { must, mustEqual, type Target } from '../target.ts';

/** Where the packet is; a vnet header is the 10 bytes before it. */
const AT = 64;
const ROOM = 65_536 + 2 * AT;
const memory = [0x00, 0xff].map((poison) => ({ poison, bytes: new Bytes(new ArrayBuffer(ROOM)) }));

/** Everything that is read of a packet, in memory that is otherwise of `poison`. */
function read(which: 0 | 1, input: Uint8Array, parse: typeof parsePacket): number[] {
  const { poison, bytes } = memory[which]!;
  const length = input.length - 10;
  bytes.u8.fill(poison, 0, AT + length + AT);
  bytes.u8.set(input, AT - 10);
  const meta = new Int32Array(2 * META);
  const found = [parse(bytes, AT, length, true, meta, 0)];
  if (found[0] === OK && meta[M_KIND] === KIND_ERROR) {
    const l4 = meta[M_L4]!;
    found.push(parseQuote(bytes, l4, meta[M_LENGTH]! - (l4 - AT), meta, META));
  }
  if (found[0] === OK && meta[M_KIND] === KIND_FLOW && meta[M_PROTOCOL] === 6 && meta[M_FRAGMENT] === 0) {
    const l4 = meta[M_L4]!;
    const header = (bytes.u8[l4 + 12]! & 0xf0) >> 2;
    found.push(synOptions(bytes.u8, l4, header), highestSack(bytes.u8, bytes.i32, l4, header, 1000));
  }
  if (found[0] === OK) {
    const [offset, total, l4] = [meta[M_OFFSET]!, meta[M_LENGTH]!, meta[M_L4]!];
    must(
      offset === AT && total <= length && l4 >= AT + 20 && l4 <= AT + total,
      'beyond',
      () => `${[offset, total, l4]}`,
    );
  }
  return [...found, ...meta];
}

export const packet: Target = {
  name: 'packet',
  files: ['wire/parse.ts', 'wire/ipv4.ts', 'wire/tcp-options.ts', 'wire/vnet.ts', 'wire/icmp.ts'],
  form: 'bytes',
  seeds: () =>
    seeds
      .filter(({ packet }) => packet.length < 700)
      .map(({ vnet, packet }) => Buffer.concat([vnet ?? Buffer.alloc(10), packet])),
  run: (input) => {
    if (input.length < 10) return;
    const whole = read(0, input, parsePacket);
    mustEqual(read(1, input, parsePacket), whole, 'reads-outside');
    const slow = read(0, input, parseAny);
    must(slow[0] === whole[0], 'two-ways', () => `${whole[0]}, and field by field ${slow[0]}`);
    if (whole[0] === OK) mustEqual(slow, whole, 'two-ways');
  },
};
