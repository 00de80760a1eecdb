/**
 * Literal encodings, worked out by hand from RFC 9669. The order of bytes is opcode, registers (source in the
 * upper half), offset (2), immediate (4).
 */
import { describe, expect, test } from 'vitest';
import {
  Assembler,
  type Condition,
  fp,
  type Operation,
  r0,
  r1,
  r2,
  r3,
  r6,
  r9,
} from '../../../src/host/ebpf/assembler.ts';

/** One instruction slot per word, as hex. */
function encode(write: (a: Assembler) => void): string[] {
  const a = new Assembler();
  write(a);
  return Buffer.from(a.assemble()).toString('hex').match(/.{16}/g) ?? [];
}

describe('arithmetic', () => {
  test.each<[Operation, string, string, string, string]>([
    // operation, 64-bit register, 64-bit immediate, 32-bit register, 32-bit immediate
    ['+=', '0f', '07', '0c', '04'],
    ['-=', '1f', '17', '1c', '14'],
    ['*=', '2f', '27', '2c', '24'],
    ['/=', '3f', '37', '3c', '34'],
    ['|=', '4f', '47', '4c', '44'],
    ['&=', '5f', '57', '5c', '54'],
    ['<<=', '6f', '67', '6c', '64'],
    ['>>=', '7f', '77', '7c', '74'],
    ['%=', '9f', '97', '9c', '94'],
    ['^=', 'af', 'a7', 'ac', 'a4'],
    ['=', 'bf', 'b7', 'bc', 'b4'],
    ['s>>=', 'cf', 'c7', 'cc', 'c4'],
  ])('%s', (operation, alu64, alu64Immediate, alu32, alu32Immediate) => {
    expect(encode((a) => a.alu(r1, operation, r2))).toEqual([`${alu64}21000000000000`]);
    expect(encode((a) => a.alu(r1, operation, 7))).toEqual([`${alu64Immediate}01000007000000`]);
    expect(encode((a) => a.alu32(r1, operation, r2))).toEqual([`${alu32}21000000000000`]);
    expect(encode((a) => a.alu32(r1, operation, 7))).toEqual([`${alu32Immediate}01000007000000`]);
  });

  test('negation', () => {
    expect(encode((a) => a.negate(r3).negate32(r3))).toEqual(['8703000000000000', '8403000000000000']);
  });

  test('byte order', () => {
    expect(encode((a) => a.toBigEndian(r1, 16).toBigEndian(r1, 32).toBigEndian(r1, 64))).toEqual([
      'dc01000010000000',
      'dc01000020000000',
      'dc01000040000000',
    ]);
    expect(encode((a) => a.toLittleEndian(r9, 16))).toEqual(['d409000010000000']);
  });

  test('immediates are 32 bits, signed or unsigned', () => {
    expect(encode((a) => a.alu(r0, '=', -1).alu32(r0, '=', 0xffff_ffff).alu(r0, '=', -0x8000_0000))).toEqual([
      'b7000000ffffffff',
      'b4000000ffffffff',
      'b700000000000080',
    ]);
    expect(() => new Assembler().alu(r0, '=', 2 ** 32)).toThrow('immediate 4294967296');
    expect(() => new Assembler().alu(r0, '=', -(2 ** 31) - 1)).toThrow('immediate');
    expect(() => new Assembler().alu(r0, '=', 0.5)).toThrow('immediate');
  });
});

describe('memory', () => {
  test('loads', () => {
    expect(
      encode((a) =>
        a.load(r1, 'u8', r6, 1).load(r1, 'u16', r6, 2).load(r1, 'u32', r6, 4).load(r1, 'u64', fp, -8),
      ),
    ).toEqual(['7161010000000000', '6961020000000000', '6161040000000000', '79a1f8ff00000000']);
  });

  test('stores of a register', () => {
    expect(
      encode((a) =>
        a.store('u8', r6, 1, r1).store('u16', r6, 2, r1).store('u32', r6, 4, r1).store('u64', fp, -8, r1),
      ),
    ).toEqual(['7316010000000000', '6b16020000000000', '6316040000000000', '7b1af8ff00000000']);
  });

  test('stores of a number', () => {
    expect(
      encode((a) =>
        a.store('u8', fp, -1, 5).store('u16', fp, -2, 5).store('u32', fp, -4, -2).store('u64', fp, -8, 0),
      ),
    ).toEqual(['720affff05000000', '6a0afeff05000000', '620afcfffeffffff', '7a0af8ff00000000']);
  });

  test('64-bit loads take two slots', () => {
    expect(encode((a) => a.loadImmediate64(r1, 0x1122334455667788n))).toEqual([
      '1801000088776655',
      '0000000044332211',
    ]);
    expect(encode((a) => a.loadImmediate64(r1, -1n))).toEqual(['18010000ffffffff', '00000000ffffffff']);
    // BPF_PSEUDO_MAP_FD is 1, BPF_PSEUDO_MAP_VALUE is 2, in the source field.
    expect(encode((a) => a.loadMap(r1, 9))).toEqual(['1811000009000000', '0000000000000000']);
    expect(encode((a) => a.loadMapValue(r2, 9, 8192))).toEqual(['1822000009000000', '0000000000200000']);
  });

  test('offsets are 16 bits', () => {
    expect(encode((a) => a.load(r0, 'u8', r1, 32767).load(r0, 'u8', r1, -32768))).toEqual([
      '7110ff7f00000000',
      '7110008000000000',
    ]);
    expect(() => new Assembler().load(r0, 'u8', r1, 32768)).toThrow('offset 32768 does not fit');
    expect(() => new Assembler().store('u8', fp, -32769, 0)).toThrow('offset');
  });
});

describe('jumps', () => {
  test.each<[Condition, string, string, string, string]>([
    ['==', '1d', '15', '1e', '16'],
    ['>', '2d', '25', '2e', '26'],
    ['>=', '3d', '35', '3e', '36'],
    ['&', '4d', '45', '4e', '46'],
    ['!=', '5d', '55', '5e', '56'],
    ['s>', '6d', '65', '6e', '66'],
    ['s>=', '7d', '75', '7e', '76'],
    ['<', 'ad', 'a5', 'ae', 'a6'],
    ['<=', 'bd', 'b5', 'be', 'b6'],
    ['s<', 'cd', 'c5', 'ce', 'c6'],
    ['s<=', 'dd', 'd5', 'de', 'd6'],
  ])('%s', (condition, jmp, jmpImmediate, jmp32, jmp32Immediate) => {
    expect(encode((a) => a.label('x').jumpIf(r1, condition, r2, 'x'))).toEqual([`${jmp}21ffff00000000`]);
    expect(encode((a) => a.label('x').jumpIf(r1, condition, 7, 'x'))).toEqual([
      `${jmpImmediate}01ffff07000000`,
    ]);
    expect(encode((a) => a.label('x').jumpIf32(r1, condition, r2, 'x'))).toEqual([`${jmp32}21ffff00000000`]);
    expect(encode((a) => a.label('x').jumpIf32(r1, condition, 7, 'x'))).toEqual([
      `${jmp32Immediate}01ffff07000000`,
    ]);
  });

  test('offsets count slots from the next instruction, forwards and backwards', () => {
    expect(
      encode(
        (a) =>
          a
            .label('start')
            .jumpIf(r1, '==', 0, 'end') // slot 0, to 5
            .loadImmediate64(r2, 1n) // 1, 2
            .jump('end') // 3, to 5
            .jump('start') // 4, to 0
            .label('end')
            .exit(), // 5
      ),
    ).toEqual([
      '1501040000000000',
      '1802000001000000',
      '0000000000000000',
      '0500010000000000',
      '0500fbff00000000',
      '9500000000000000',
    ]);
  });

  test('call and exit', () => {
    expect(encode((a) => a.call(68).exit())).toEqual(['8500000044000000', '9500000000000000']);
  });

  test('a jump may be as long as 16 bits say, and no longer', () => {
    const over = (instructions: number) => {
      const a = new Assembler().jump('end');
      for (let i = 0; i < instructions; i++) a.alu(r0, '=', 0);
      return a.label('end').exit();
    };
    expect([...over(32767).assemble().subarray(0, 4)]).toEqual([0x05, 0x00, 0xff, 0x7f]);
    expect(() => over(32768).assemble()).toThrow('offset 32768 does not fit');
  });

  test('labels are defined exactly once', () => {
    expect(() => new Assembler().jump('nowhere').assemble()).toThrow("label 'nowhere' is not defined");
    expect(() => new Assembler().label('x').exit().label('x')).toThrow("label 'x' is defined twice");
  });

  test('unique labels differ', () => {
    const a = new Assembler();
    expect(a.unique('x')).not.toBe(a.unique('x'));
  });
});

test('a whole program', () => {
  // if (ctx->protocol != htons(ETH_P_IP)) return 0; return 2;
  expect(
    encode((a) =>
      a
        .load(r2, 'u32', r1, 16)
        .alu(r0, '=', 0)
        .jumpIf(r2, '!=', 0x0008, 'end')
        .alu(r0, '=', 2)
        .label('end')
        .exit(),
    ),
  ).toEqual([
    '6112100000000000',
    'b700000000000000',
    '5502010008000000',
    'b700000002000000',
    '9500000000000000',
  ]);
});
