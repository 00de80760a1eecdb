import { describe, expect, it } from 'vitest';
import {
  Attributes,
  attribute,
  message,
  NLM_F_DUMP,
  nest,
  readMessages,
  text,
  u8,
  u32,
} from '../../../src/host/netlink/message.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytes = (digits: string) => Buffer.from(digits.replaceAll(' ', ''), 'hex');

describe('building', () => {
  it('pads attributes to four bytes and counts only what they hold', () => {
    expect(hex(u8(8, 1))).toBe('0500080001000000');
    expect(hex(u32(4, 0xdeadbeef))).toBe('08000400efbeadde');
    expect(hex(text(1, 'bpf'))).toBe('0800010062706600');
    expect(hex(text(1, 'clsact'))).toBe('0b000100636c736163740000');
    expect(hex(attribute(3, Buffer.alloc(0)))).toBe('04000300');
  });

  it('marks a nest and counts what is in it', () => {
    expect(hex(nest(2, [u8(8, 1), u32(6, 5)]))).toBe(
      '14000280 0500080001000000 0800060005000000'.replaceAll(' ', ''),
    );
  });

  it('writes the length of the whole message', () => {
    expect(hex(message(38, NLM_F_DUMP, Buffer.of(1, 2, 3, 4), [u8(8, 1)]))).toBe(
      '1c000000 2600 0103 00000000 00000000 01020304 0500080001000000'.replaceAll(' ', ''),
    );
  });
});

describe('reading', () => {
  it('splits messages and finds attributes behind the fixed part', () => {
    const received = Buffer.concat([
      message(16, 0, bytes('0200000007000000'), [text(3, 'eth0')]),
      message(20, 0, bytes('0200000009000000'), [u32(4, 1500)]),
    ]);
    const [first, second] = readMessages(received);
    expect(first?.type).toBe(16);
    expect(new Attributes(first!.body, 8).text(3)).toBe('eth0');
    expect(second?.type).toBe(20);
    expect(new Attributes(second!.body, 8).u32(4)).toBe(1500);
    expect(new Attributes(second!.body, 8).u32(5)).toBeUndefined();
  });

  it('reads nests, and drops the flag bits of an attribute type', () => {
    const outer = new Attributes(nest(18, [text(1, 'veth')]));
    expect(outer.nest(18).text(1)).toBe('veth');
    expect(outer.nest(19).text(1)).toBeUndefined();
  });

  it('keeps addresses in wire order', () => {
    expect(new Attributes(bytes('08000100 0a4d0001')).address(1)).toBe(0x01004d0a);
  });

  it('ends at lengths that lie', () => {
    expect(readMessages(bytes('0c000000 1000 0000 00000000 00000000'))).toEqual([]);
    expect(readMessages(bytes('ff000000 1000 0000 00000000 00000000'))).toEqual([]);
    expect(readMessages(Buffer.alloc(64, 0xa5))).toEqual([]);
    expect(readMessages(bytes('1000'))).toEqual([]);
    for (const digits of ['0300 0100', '0000 0100', 'ffff 0100 01020304', '08000100 0102']) {
      expect(new Attributes(bytes(digits)).bytes(1)).toBeUndefined();
    }
    expect(new Attributes(bytes('0500 0100 07000000')).u32(1)).toBeUndefined();
    expect(new Attributes(bytes('0500 0100 07000000')).u8(1)).toBe(7);
  });
});
