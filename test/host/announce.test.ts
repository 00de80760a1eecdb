import { expect, test } from 'vitest';
import { announcement } from '../../src/host/announce.ts';
import { parseAddress } from '../../src/wire/address.ts';

test('an announcement is an ARP request of the sender for its own address (RFC 5227 2.3)', () => {
  const frame = announcement('02:00:5e:10:20:30', parseAddress('203.0.113.9')!);
  expect(frame.toString('hex')).toBe(
    ['ffffffffffff02005e1020300806', '0001080006040001', '02005e102030cb007109', '000000000000cb007109'].join(
      '',
    ),
  );
});
