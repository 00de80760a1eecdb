import { expect, test } from 'vitest';
import { Random } from '../../src/core/random.ts';
import { decodeTapRecord, T_KIND, T_LENGTH, T_SNAP, TAP_HEADER } from '../../src/engine/tap-record.ts';
import { formatTap, TapRing, tapBytes, tapPlaces } from '../../src/engine/tap-ring.ts';
import { memorySource, TapReader } from '../../src/gateway/observe/tap-reader.ts';

const WORDS = 2 ** 14;

function tap(): { memory: ArrayBuffer; ring: () => TapRing; reader: (from: 'now' | 'oldest') => TapReader } {
  const memory = new ArrayBuffer(tapBytes(WORDS));
  formatTap(memory, WORDS);
  return {
    memory,
    ring: () => new TapRing(memory, tapPlaces(WORDS).tap),
    reader: (from) => new TapReader(memorySource(memory), 'tap', from),
  };
}

/** A record whose bytes say which one it is. */
function write(ring: TapRing, number: number, bytes: number): void {
  const at = ring.claim(TAP_HEADER + ((bytes + 7) >> 3) * 2);
  ring.words[at + T_KIND] = 1;
  ring.words[at + T_LENGTH] = number;
  ring.words[at + T_SNAP] = bytes;
  new Uint8Array(ring.words.buffer).fill(number & 0xff, (at + TAP_HEADER) * 4, (at + TAP_HEADER) * 4 + bytes);
}

test('readers of any pace read whole records in order, and know exactly how many they missed', () => {
  const seed = Number(process.env['SEED'] ?? 20261129);
  const random = new Random(seed);
  const pick = (below: number) => (random.next() >>> 0) % below;
  const { ring, reader } = tap();
  let writer = ring();
  const readers = [1, 2, 7, 40].map((pace) => ({
    pace,
    reader: reader('now'),
    next: 0,
    missed: 0,
    seen: 0,
  }));
  let written = 0;
  for (let round = 0; round < 3000; round++) {
    for (let i = pick(6); i > 0; i--) {
      write(writer, written, pick(3) === 0 ? pick(3000) : pick(100));
      if (pick(4) === 0) writer.cancel();
      else written++;
    }
    // An engine that dies leaves what it had not published.
    if (pick(50) === 0) writer.publish();
    if (pick(400) === 0) {
      writer.publish();
      write(writer, 999, 50);
      writer = ring();
    }
    writer.publish();
    for (const each of readers) {
      if (pick(each.pace) !== 0) continue;
      const { records, missed } = each.reader.read();
      each.missed += missed;
      for (const record of records) {
        expect(record.length, `seed ${seed}`).toBeGreaterThanOrEqual(each.next);
        expect(record.sequence, `seed ${seed}`).toBe(record.length);
        expect(record.packet.every((byte) => byte === (record.length & 0xff))).toBe(true);
        each.next = record.length + 1;
        each.seen++;
      }
    }
  }
  for (const { reader: last, seen, missed, pace } of readers) {
    let [all, gaps] = [seen, missed];
    for (let more = true; more; ) {
      const batch = last.read();
      all += batch.records.length;
      gaps += batch.missed;
      more = batch.more;
    }
    expect(all + gaps, `pace ${pace}, seed ${seed}`).toBe(written);
    if (pace === 1) expect(gaps).toBe(0);
    if (pace === 40) expect(gaps).toBeGreaterThan(0);
  }
});

test('positions go on beyond 32 bits', () => {
  const { memory, ring, reader } = tap();
  const state = new Int32Array(memory, tapPlaces(WORDS).tap.state * 4, 8);
  // Head and tail 2^32 - 20 words, the next record number 2^32 - 2.
  state.set([-20, 0, -20, 0, -2, 0]);
  const writer = ring();
  const follower = reader('now');
  for (let i = 0; i < 5; i++) write(writer, i, 40);
  writer.publish();
  const { records, missed } = follower.read();
  expect(records.concat(follower.read().records).map(({ sequence }) => sequence - 2 ** 32)).toEqual([
    -2, -1, 0, 1, 2,
  ]);
  expect(missed).toBe(0);
  expect(state[1]).toBe(1);
});

test('what comes while a reader copies is thrown away and counted', () => {
  const { memory, ring } = tap();
  const writer = ring();
  const source = memorySource(memory);
  let isBusy = false;
  const slow = {
    ...source,
    read(target: Uint8Array, position: number) {
      source.read(target, position);
      // It has copied the records; the writer comes round before it looks at the tail.
      if (isBusy && target.length > 64) for (let i = 100; i < 300; i++) write(writer, i, 200);
      if (isBusy) writer.publish();
    },
  };
  const reader = new TapReader(slow, 'tap', 'now');
  for (let i = 0; i < 100; i++) write(writer, i, 200);
  writer.publish();
  isBusy = true;
  const first = reader.read();
  isBusy = false;
  const later = [first];
  for (let batch = reader.read(); batch.records.length > 0; batch = reader.read()) later.push(batch);
  const records = later.flatMap((batch) => batch.records);
  const missed = later.reduce((sum, batch) => sum + batch.missed, 0);
  expect(records.length + missed).toBe(300);
  for (const record of records)
    expect(record.packet.every((byte) => byte === (record.length & 0xff))).toBe(true);
});

test('a record says what was put into it', () => {
  const { memory, ring, reader } = tap();
  const writer = ring();
  write(writer, 7, 13);
  writer.publish();
  expect(decodeTapRecord(memory, tapPlaces(WORDS).tap.first, 3)).toMatchObject({
    kind: 1,
    worker: 3,
    length: 7,
  });
  expect(reader('oldest').read().records[0]?.packet).toEqual(new Uint8Array(13).fill(7));
  expect(() => new TapReader(memorySource(new ArrayBuffer(4096)), 'tap', 'now')).toThrow(
    /not one of natgate/,
  );
});
