/** MSS clamping on bytes: the value, the checksum, and what is left alone. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clampMss } from '../../src/nat/mss.ts';
import { tcpPacket } from '../../src/testing/index.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import { decode } from '../wire/decode.ts';
import { hex } from '../wire/hex.ts';

const OFFSET = 12;

function clamp(options: string | Uint8Array, limit: number, needsChecksum = false): Uint8Array {
  const packet = tcpPacket({
    from: '10.77.0.2:40000',
    to: '203.0.113.9:80',
    flags: 'S',
    options: typeof options === 'string' ? hex(options) : options,
  });
  const bytes = new Bytes(new ArrayBuffer(256));
  bytes.u8.set(packet, OFFSET);
  if (needsChecksum) bytes.u8[OFFSET - 10] = 1;
  clampMss(bytes, OFFSET, OFFSET + 20, limit);
  return bytes.u8.slice(OFFSET, OFFSET + packet.length);
}

const optionsOf = (packet: Uint8Array) => Buffer.from(packet.subarray(40)).toString('hex');

describe('lowered', () => {
  test.each([
    ['alone', '020405b4', '02040550'],
    ['among others', '020405b40402080a0000000100000002 01030307', '020405500402080a000000010000000201030307'],
    ['at an odd place', '01 020405b4 010100', '0102040550010100'],
    ['behind others', '0303070101 0402 01 020405b4', '0303070101040201' + '02040550'],
    ['65535', '0204ffff', '02040550'],
  ])('%s', (_, before, after) => {
    const packet = clamp(before, 1360);
    expect(optionsOf(packet)).toBe(after);
    expect(decode(packet).checksumOk).toBe(true);
  });

  test('with a partial checksum the field stays', () => {
    const before = clamp('020405b4', 1460, true);
    const after = clamp('020405b4', 1360, true);
    expect(optionsOf(after)).toBe('02040550');
    expect(after.subarray(36, 38)).toEqual(before.subarray(36, 38));
  });
});

describe('left alone', () => {
  test.each([
    ['no options', ''],
    ['no MSS', '01010402'],
    ['as low', '02040550'],
    ['lower', '020400d8'],
    ['behind the end', '00 020405b4 000000'],
    ['a wrong length', '020305b4'],
    ['length 0 before it', '0300 020405b4 0101'],
    ['length 1 before it', '0301 020405b4 0101'],
    ['one that is cut off before it', '030a 020405b4 0101'],
    ['cut off', '010101 02'],
    ['cut off behind its length', '0101 0204'],
    ['cut off in its value', '01 020405'],
  ])('%s', (_, options) => {
    const packet = clamp(options, 1360);
    expect(optionsOf(packet)).toBe(options.replaceAll(' ', ''));
    expect(decode(packet).checksumOk).toBe(true);
  });

  test('when the limit leaves no room for data', () => {
    expect(optionsOf(clamp('020405b4', 0))).toBe('020405b4');
    expect(optionsOf(clamp('020405b4', -12))).toBe('020405b4');
  });
});

test('any bytes as options, any limit: the checksum stays right, nothing but one value is lowered', () => {
  const options = fc
    .integer({ min: 0, max: 10 })
    .chain((words) =>
      fc.array(fc.oneof(fc.nat(255), fc.constantFrom(1, 2, 4)), {
        minLength: words * 4,
        maxLength: words * 4,
      }),
    )
    .map((bytes) => Uint8Array.from(bytes));
  fc.assert(
    fc.property(options, fc.integer({ min: 1, max: 65_535 }), (before, limit) => {
      const packet = clamp(before, limit);
      expect(decode(packet).checksumOk).toBe(true);
      const after = packet.subarray(40);
      const changed = [...after.keys()].filter((at) => after[at] !== before[at]);
      if (changed.length === 0) return;
      const at = changed[0]! - (before[changed[0]! - 1] === 4 && before[changed[0]! - 2] === 2 ? 2 : 3);
      const view = new DataView(after.buffer, after.byteOffset);
      expect([before[at], before[at + 1], view.getUint16(at + 2)]).toEqual([2, 4, limit]);
      expect((before[at + 2]! << 8) | before[at + 3]!).toBeGreaterThan(limit);
      expect(changed.every((place) => place === at + 2 || place === at + 3)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});
