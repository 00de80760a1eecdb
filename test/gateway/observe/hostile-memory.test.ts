/**
 * What the engine writes for others to read, when a stranger writes it: taps, event rings and states of random bytes behind a sound header,
 * or sound ones with some words changed. Readers end, throw nothing but what says that it makes no sense, and what they give can be shown.
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { HOT } from '../../../src/conntrack/flow-table.ts';
import { rfcTimeouts, TimeoutTable } from '../../../src/conntrack/timeouts.ts';
import { NatgateError } from '../../../src/core/errors.ts';
import { EVENT_WORDS, EventReader, eventBytes, formatEvents } from '../../../src/engine/event-ring.ts';
import { formatState, stateBytes, TABLE_OFFSET } from '../../../src/engine/state.ts';
import {
  DROPS_WORDS,
  formatTap,
  TAP_HEADER_BYTES,
  TapRing,
  tapBytes,
  tapPlaces,
} from '../../../src/engine/tap-ring.ts';
import { commentOf } from '../../../src/gateway/capture/capture-stream.ts';
import { enhancedPacket, INBOUND, interfaceStatistics } from '../../../src/gateway/capture/pcapng.ts';
import { Decoder } from '../../../src/gateway/events/decode.ts';
import { dropOf } from '../../../src/gateway/observe/drops.ts';
import { explain } from '../../../src/gateway/observe/explain.ts';
import { listedFlow } from '../../../src/gateway/observe/flow-list.ts';
import { FlowReader } from '../../../src/gateway/observe/flow-reader.ts';
import { memorySource, TapReader } from '../../../src/gateway/observe/tap-reader.ts';

const RUNS = 150;
const clients = { nameOf: () => '' };
const names = {
  devices: [
    { name: 'in', side: 'private' as const },
    { name: 'out', side: 'public' as const },
  ],
  rules: [],
  firewallRules: [],
  clients,
};

/** Words that are likely to hurt, and any. */
const word = fc.oneof(
  fc.constantFrom(0, 1, -1, 2, 3, 35, 36, 37, 40, 64, 1 << 30, -(2 ** 31), 2 ** 31 - 1, 0x7ff00000),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
);
const changes = (most: number) => fc.array(fc.tuple(fc.nat(most - 1), word), { minLength: 1, maxLength: 24 });

function foreign(work: () => void, codes: readonly string[]): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof NatgateError) || !codes.includes(error.code)) throw error;
  }
}

describe('taps', () => {
  const WORDS = 2 ** 12;
  const memory = new ArrayBuffer(tapBytes(WORDS));
  const words = new Int32Array(memory);
  const first = TAP_HEADER_BYTES / 4 + DROPS_WORDS;

  /** A ring with some records; then some of its words are others. */
  function spoil(records: number, inHeader: [number, number][], inRing: [number, number][]): void {
    words.fill(0, 0, TAP_HEADER_BYTES / 4);
    words.fill(0, first);
    formatTap(memory, WORDS);
    const ring = new TapRing(memory, tapPlaces(WORDS).tap);
    for (let i = 0; i < records; i++) {
      const at = ring.claim(64);
      words.fill(i, at + 4, at + 64);
      ring.publish();
    }
    for (const [at, value] of inRing) words[first + at] = value;
    for (const [at, value] of inHeader) words[24 + at] = value;
  }

  test('end, and every record can be shown', () => {
    fc.assert(
      fc.property(
        fc.nat(200),
        fc.oneof(fc.constant<[number, number][]>([]), changes(8)),
        changes(WORDS),
        (records, inHeader, inRing) => {
          spoil(records, inHeader, inRing);
          foreign(() => {
            const reader = new TapReader(memorySource(memory), 'tap', 'oldest');
            let more = true;
            for (let turns = 0; more; turns++) {
              expect(turns).toBeLessThan(100);
              const batch = reader.read();
              more = batch.more;
              interfaceStatistics({ interface: 0, started: 0, ended: 1, received: 1, dropped: batch.missed });
              for (const record of batch.records) {
                dropOf(record, names);
                explain(record, [record], names);
                const { device, time, packet, length } = record;
                const comments = [commentOf(record, names)];
                enhancedPacket({ interface: device, time, direction: INBOUND, packet, length, comments });
              }
            }
          }, ['tap_foreign']);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

describe('event rings', () => {
  const sizes = { records: 64, flows: 16, slots: 16 };
  const memory = new ArrayBuffer(eventBytes(sizes));
  const words = new Int32Array(memory);

  test('end, and every record can be decoded', () => {
    const decoder = new Decoder({ rules: [], clients });
    fc.assert(
      fc.property(
        fc.double(),
        fc.double(),
        fc.oneof(fc.constant<[number, number][]>([]), changes(32)),
        changes(words.length),
        (head, read, inHeader, inRing) => {
          words.fill(0);
          formatEvents(memory, sizes, 0);
          for (const [at, value] of [...inRing, ...inHeader]) if (at > 8) words[at] = value;
          const floats = new Float64Array(memory, 0, 32);
          for (let at = 8; at < 32; at += 2) floats[at] = at % 4 === 0 ? head : read;
          foreign(() => {
            const reader = new EventReader(memory);
            for (let taken = 0; reader.take(); taken++) {
              expect(taken).toBeLessThan(10 * sizes.records);
              expect(reader.record).toHaveLength(EVENT_WORDS);
              JSON.stringify(decoder.decode(reader.record, reader.recordFloats, 0));
            }
            reader.takeLost();
            reader.commit();
          }, ['events_foreign']);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

describe('states', () => {
  const CAPACITY = 2048;
  const folder = mkdtempSync('/dev/shm/natgate-test-');
  afterAll(() => rmSync(folder, { recursive: true }));

  test('end, and every flow can be shown', () => {
    const path = join(folder, 'state');
    const buffer = new ArrayBuffer(stateBytes(CAPACITY));
    const words = new Int32Array(buffer);
    const context = { timeouts: new TimeoutTable(rfcTimeouts), rules: [], clients };
    fc.assert(
      fc.property(
        fc.oneof(fc.constant<[number, number][]>([]), changes(16)),
        changes(HOT * 200),
        fc.integer(),
        (inHeader, inTable, seed) => {
          words.fill(0);
          formatState(buffer, CAPACITY, [1, 2]);
          let random = seed | 1;
          for (let i = 0; i < HOT * 200; i++) {
            random = Math.imul(random, 1664525) + 1013904223;
            words[TABLE_OFFSET / 4 + i] = random;
          }
          for (const [at, value] of inTable) words[TABLE_OFFSET / 4 + at] = value;
          for (const [at, value] of inHeader) words[at] = value;
          const fd = openSync(path, 'w+', 0o600);
          writeSync(fd, new Uint8Array(buffer));
          closeSync(fd);
          foreign(() => {
            const reader = new FlowReader(path);
            try {
              const now = reader.now();
              let flows = 0;
              for (const raw of reader.read()) {
                expect(++flows).toBeLessThanOrEqual(CAPACITY);
                JSON.stringify(listedFlow(raw, 0, context, now));
              }
            } finally {
              reader.close();
            }
          }, ['state_foreign', 'state_truncated', 'state_damaged', 'bad_capacity']);
        },
      ),
      { numRuns: RUNS / 3 },
    );
  });
});
