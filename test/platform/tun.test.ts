/** What natgate relies on in the kernel's TUN driver. A failure here is a kernel that behaves in another way. */
import { expect, test } from 'vitest';
import { namespaceRunner } from '../link/namespace.ts';
import { PLAIN } from '../link/packets.ts';
import type * as scenarios from './tun.scenarios.ts';

const inNamespace = namespaceRunner<typeof scenarios>(new URL('./tun.scenarios.ts', import.meta.url));
const EINVAL = 22;

test('packets of sockets come with a partial checksum: the folded sum of the pseudo-header, not inverted', async () => {
  const partial = { ...PLAIN, flags: 1, checksumStart: 20 };
  expect(await inNamespace('checksumsOfSockets')).toEqual([
    { vnet: { ...partial, checksumOffset: 16 }, fieldIsPseudoSum: true },
    { vnet: { ...partial, checksumOffset: 6 }, fieldIsPseudoSum: true },
  ]);
});

test('bulk data of a socket comes as a super-packet; its pseudo-header counts the whole length', async () => {
  expect(await inNamespace('superPacketOfSocket')).toEqual({
    vnet: { flags: 1, gsoType: 1, headerLength: 0, gsoSize: 536, checksumStart: 20, checksumOffset: 16 },
    severalSegments: true,
    lengthField: true,
    fieldIsPseudoSumOfTheWhole: true,
  });
});

test('the host verifies full checksums, believes partial ones, and forwards wrong ones unchanged', async () => {
  const { delivered, forwardedUnchanged } = await inNamespace('checksumsOfWrites');
  expect(delivered).toEqual(['full', 'partial']);
  expect(forwardedUnchanged).toEqual([{ device: 1, vnet: PLAIN, equal: true }]);
});

test('vnet headers that the kernel refuses', async () => {
  expect(await inNamespace('refusedHeaders')).toEqual({
    good: false,
    headerLengthZero: false,
    headerLengthOfTheWhole: false,
    headerLengthBeyondThePacket: EINVAL,
    gsoSizeZero: EINVAL,
    checksumBeyondThePacket: EINVAL,
    checksumInTheIpHeader: EINVAL,
    unknownGsoType: EINVAL,
  });
});

test('txqueuelen is the length of the queue to the reader; what does not fit is dropped without an error', async () => {
  expect(await inNamespace('queueLength')).toEqual({ 500: 500, 4096: 3000 });
});

test('a persistent TUN that nobody has open has no carrier, and gets it back', async () => {
  expect(await inNamespace('withoutReader')).toEqual({
    open: true,
    closed: false,
    reopened: true,
  });
});
