/** The store of held fragments: bytes come out as they went in, memory is bounded, and who floods it displaces himself. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ARENA_BYTES, LINEAR_BYTES, overflowOffset, packetOffset } from '../../src/engine/arena.ts';
import { BLOCK_BYTES, BLOCKS, FragmentStore, NONE, SOURCE_BLOCKS } from '../../src/engine/fragment-store.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import { filler } from './packets.ts';

const bytes = new Bytes(new ArrayBuffer(ARENA_BYTES));

function put(slot: number, packet: Uint8Array): void {
  bytes.u8.set(packet.subarray(0, LINEAR_BYTES), packetOffset(slot));
  bytes.u8.set(packet.subarray(LINEAR_BYTES), overflowOffset(slot));
}

function take(slot: number, length: number): Uint8Array {
  const packet = new Uint8Array(length);
  packet.set(bytes.u8.subarray(packetOffset(slot), packetOffset(slot) + Math.min(length, LINEAR_BYTES)));
  if (length > LINEAR_BYTES) {
    const rest = overflowOffset(slot);
    packet.set(bytes.u8.subarray(rest, rest + length - LINEAR_BYTES), LINEAR_BYTES);
  }
  return packet;
}

test('against a model: holds, gives back in order, forgets, and never exceeds its bounds', () => {
  const step = fc.record({
    datagram: fc.nat(20),
    length: fc.oneof(
      fc.integer({ min: 28, max: 1600 }),
      fc.integer({ min: 28, max: 65_535 }),
      fc.constant(BLOCK_BYTES),
    ),
    what: fc.constantFrom('hold', 'hold', 'hold', 'take', 'clear'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.integer(), (steps, seed) => {
      const store = new FragmentStore([seed, 5]);
      const model = new Map<number, { packet: Uint8Array; device: number }[]>();
      for (const [i, { datagram, length, what }] of steps.entries()) {
        const held = model.get(datagram) ?? [];
        if (what === 'hold') {
          // A third of the datagrams are of one source.
          const address = datagram % 3 === 0 ? 7 : datagram;
          for (
            let victim = store.victim(address, length);
            victim !== NONE;
            victim = store.victim(address, length)
          ) {
            expect(store.clear(victim)).toBe(model.get(victim)!.length);
            model.delete(victim);
          }
          const packet = filler(length, i);
          put(i % 64, packet);
          store.hold(datagram, address, bytes, i % 64, length, i % 3);
          model.set(datagram, [...(model.get(datagram) ?? []), { packet, device: i % 3 }]);
        } else if (what === 'clear') {
          expect(store.clear(datagram)).toBe(held.length);
          model.delete(datagram);
        } else if (held.length > 0) {
          const fragment = store.next(datagram);
          expect(store.lengthOf(fragment)).toBe(held[0]!.packet.length);
          expect(store.deviceOf(fragment)).toBe(held[0]!.device);
          store.load(fragment, bytes, 200);
          expect(Buffer.compare(take(200, held[0]!.packet.length), held[0]!.packet)).toBe(0);
          store.drop(datagram);
          model.set(datagram, held.slice(1));
        }
        const all = [...model.values()].flat();
        const blocks = all.reduce((sum, { packet }) => sum + Math.ceil(packet.length / BLOCK_BYTES), 0);
        expect(store.count).toBe(all.length);
        expect(store.bytes).toBe(blocks * BLOCK_BYTES);
        expect(blocks).toBeLessThanOrEqual(BLOCKS);
      }
      for (const datagram of model.keys()) store.clear(datagram);
      expect([store.count, store.bytes]).toEqual([0, 0]);
      for (let source = 0; source < store.sources; source++) expect(store.oldestOf(source)).toBe(NONE);
    }),
    { numRuns: 60 },
  );
});

test('one source has a quarter and displaces its own oldest; the full store takes from who has most', () => {
  const store = new FragmentStore([1, 2]);
  const length = 64 * BLOCK_BYTES;
  const each = SOURCE_BLOCKS / 64;
  let datagram = 0;
  const hold = (address: number) => {
    const victim = store.victim(address, length);
    if (victim !== NONE) store.clear(victim);
    store.hold(datagram++, address, bytes, 0, length, 0);
    return victim;
  };
  for (let i = 0; i < each; i++) expect(hold(1)).toBe(NONE);
  expect(hold(1)).toBe(0);
  expect(hold(1)).toBe(1);
  // A second source has half of what is its own, a third and a fourth fill the rest: nobody has more than the first.
  for (let i = 0; i < each; i++) expect(hold(2)).toBe(NONE);
  for (let i = 0; i < each; i++) expect(hold(3)).toBe(NONE);
  for (let i = 0; i < each / 2; i++) expect(hold(4)).toBe(NONE);
  for (let i = 0; i < each / 2; i++) expect(hold(5)).toBe(NONE);
  expect(store.bytes).toBe(BLOCKS * BLOCK_BYTES);
  // The late one displaces nobody who has less.
  const fromFull = hold(5);
  expect(fromFull).toBeGreaterThanOrEqual(2);
  expect(fromFull).toBeLessThan(2 + 3 * each);
});
