import { describe, expect, test } from 'vitest';
import * as arena from '../../src/engine/arena.ts';
import { addon } from '../../src/link/addon.ts';
import type * as scenarios from './exchange.scenarios.ts';
import { namespaceRunner } from './namespace.ts';
import { checksumHolds, PLAIN } from './packets.ts';

const inNamespace = namespaceRunner<typeof scenarios>(new URL('./exchange.scenarios.ts', import.meta.url));
const EBADF = 9;
const EINVAL = 22;
const EBADFD = 77;

test('the addon and the engine agree about the arena', () => {
  const fd = addon().eventfd();
  const exchange = addon().exchangeOpen([fd], fd);
  const { packetOffset, overflowOffset, ...constants } = arena;
  expect(constants).toMatchObject(exchange.describe());
  expect(Object.keys(exchange.describe())).toContain('ARENA_BYTES');
  expect(exchange.arena).toBeInstanceOf(ArrayBuffer);
  expect(exchange.arena.byteLength).toBe(arena.ARENA_BYTES);
  expect(packetOffset(3)).toBe(arena.HEADERS + 3 * arena.HEADER_BYTES + arena.PACKET_OFFSET);
  expect(overflowOffset(255) + arena.OVERFLOW_BYTES).toBe(arena.ARENA_BYTES);
  exchange.close();
});

describe('packets', () => {
  test('an echo request written to a TUN is answered by the kernel, byte for byte', async () => {
    const { request, received, nowIsBetween, afterwards, failedWrites } = await inNamespace('echo');
    expect(received).toHaveLength(1);
    const { device, vnet, packet } = received[0]!;
    const reply = Buffer.from(packet, 'hex');
    const asked = Buffer.from(request, 'hex');
    expect(device).toBe(0);
    expect(vnet).toEqual(PLAIN);
    expect(reply.length).toBe(84);
    expect([...reply.subarray(12, 20)]).toEqual([10, 1, 0, 1, 10, 1, 0, 2]);
    expect(reply[20]).toBe(0);
    expect(reply.subarray(24).equals(asked.subarray(24))).toBe(true);
    expect(checksumHolds(reply)).toBe(true);
    expect(nowIsBetween).toBe(true);
    expect(afterwards).toBe(0);
    expect(failedWrites).toEqual([0, 0, 0]);
  });

  test('a batch alternates over the queues, keeps their order, and crosses the end of the header slot', async () => {
    const { sizes, bytes, firstDevices, sent, received } = await inNamespace('batches');
    // A batch ends with the packet that reaches the limit of bytes.
    expect(sizes).toEqual([33, 33, 32, 2, 0]);
    for (const batch of bytes.slice(0, 3)) {
      expect(batch).toBeGreaterThanOrEqual(arena.BATCH_BYTES);
      expect(batch).toBeLessThan(arena.BATCH_BYTES + 2058);
    }
    expect(firstDevices.slice(0, 3)).toEqual([
      [0, 1, 0, 1],
      [1, 0, 1, 0],
      [0, 1, 0, 1],
    ]);
    expect(received).toEqual(sent);
  });

  test('a batch of small packets ends after 64', async () => {
    expect(await inNamespace('smallBatches')).toEqual([64, 36, 0]);
  });

  test('super-packets and the largest datagram pass whole, with their vnet header', async () => {
    const { sent, received } = await inNamespace('superPackets');
    expect(received.map(({ device, vnet }) => [device, vnet.flags, vnet.gsoType, vnet.gsoSize])).toEqual([
      [1, 1, 1, 1448],
      [1, 1, 5, 1200],
      [1, 0, 0, 0],
    ]);
    for (const [i, { packet }] of received.entries()) {
      const expected = Buffer.from(sent[i]!, 'hex');
      const actual = Buffer.from(packet, 'hex');
      expect(actual[8]).toBe(63);
      expect(actual.length).toBe(expected.length);
      expect(actual.subarray(12).equals(expected.subarray(12))).toBe(true);
    }
  });

  test('after a short batch a run that may wait does so before it reads, and misses nothing', async () => {
    expect(await inNamespace('afterShortBatch')).toEqual([
      [1, 0],
      [1, 1],
      [1, 0],
      [1, 1],
    ]);
  });

  test('after a long wait an answer that comes at once is read without another wait', async () => {
    expect(await inNamespace('answerAfterIdleWait')).toEqual([
      [1, 1],
      [1, 0],
      [1, 1],
    ]);
  });

  test('flush writes and does not read', async () => {
    expect(await inNamespace('flushing')).toEqual({ read: [0, 1, 2] });
  });
});

test('a wake-up ends a wait, once', async () => {
  expect(await inNamespace('wakeUps')).toEqual({
    before: 0,
    timeout: 0,
    during: 0,
    waits: 3,
    waitsAfterPolling: 3,
  });
});

describe('what goes wrong is counted or returned, never thrown', () => {
  test('entries that point outside the arena or the queues', async () => {
    const { wrong, received, byAddon, byKernel } = await inNamespace('wrongEntries');
    expect(byAddon).toEqual([wrong, EINVAL]);
    expect(received).toBe(1);
    expect(byKernel).toBe(1);
  });

  test('counts beyond the list, and arguments that are no numbers', async () => {
    expect(await inNamespace('wrongCounts')).toEqual({
      negative: 0,
      tooMany: 0,
      refused: arena.OUT_ENTRIES,
      notNumbers: [-EINVAL, -EINVAL, -EINVAL],
    });
  });

  test('a device that is down swallows writes; one that is gone is an error of run, for good', async () => {
    expect(await inNamespace('downAndDeleted')).toEqual({
      whileDown: 0,
      down: [1, 5],
      whenDeleted: -EBADFD,
      later: -EBADFD,
    });
    expect(await inNamespace('deletedBesideBusy')).toEqual([1, -EBADFD]);
  });

  test('a packet that fills the whole slot was cut off; a closed exchange refuses', async () => {
    expect(await inNamespace('truncated')).toEqual({ count: 0, truncated: 1, closed: -EBADF, control: 1 });
  });
});

test('the memory stays while anything of the exchange is reachable, and goes afterwards', async () => {
  const { filled, ran, mapped, left } = await inNamespace('lifetimes');
  expect({ filled, ran }).toEqual({ filled: 0x5a, ran: 0 });
  expect(left).toBeLessThan(mapped / 2);
});

describe('devices', () => {
  test('a persistent TUN outlives its descriptors; others do not', async () => {
    expect(await inNamespace('persistence')).toEqual({ kept: true, heldBySecond: true, gone: true });
  });

  test('a device that cannot be opened says which call failed', async () => {
    const { notTun, singleQueue, tap } = await inNamespace('tunErrors');
    expect(notTun).toMatchObject({ code: 'EINVAL', syscall: 'ioctl(TUNSETIFF)', errno: -EINVAL });
    expect(notTun!.message).toBe('cannot open TUN device lo: ioctl(TUNSETIFF): Invalid argument (EINVAL)');
    expect(singleQueue).toMatchObject({ code: 'EINVAL', syscall: 'ioctl(TUNSETIFF)' });
    expect(tap).toMatchObject({ code: 'EINVAL' });
  });

  test.each([
    ['no name', [undefined]],
    ['an empty name', ['']],
    ['a name of 16 bytes', ['a'.repeat(16)]],
    ['a pattern', ['tun%d']],
    ['a NUL', ['a\0b']],
  ])('%s is a TypeError', (_, args) => {
    expect(() => addon().tunOpen(...(args as [string]))).toThrow(/^tunOpen: name must/);
  });

  test.each<[string, unknown[]]>([
    ['no queues', [[], 0]],
    ['no array', [0, 0]],
    ['17 queues', [new Array(17).fill(0), 0]],
    ['a queue that is no number', [['0'], 0]],
    ['a negative descriptor', [[-1], 0]],
    ['no wake-up', [[0]]],
  ])('an exchange over %s is a TypeError', (_, args) => {
    expect(() => addon().exchangeOpen(...(args as [number[], number]))).toThrow(TypeError);
  });

  test('an exchange over a closed descriptor is EBADF', () => {
    expect(() => addon().exchangeOpen([100_000], 0)).toThrow(
      expect.objectContaining({ code: 'EBADF', syscall: 'fcntl' }),
    );
  });
});
