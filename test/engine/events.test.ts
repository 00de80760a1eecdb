/** Events that the engine writes: each flow that begins ends once, whenever its engine dies; the ring is read whole or with an exact gap. */
import { describe, expect, test } from 'vitest';
import { endReasonNames } from '../../src/conntrack/end-reasons.ts';
import { H_SEQUENCE, H_STATUS, HOT } from '../../src/conntrack/flow-table.ts';
import { reasonNames, TABLE_FULL } from '../../src/core/reasons.ts';
import { endEvents, forgetLives } from '../../src/engine/event-closing.ts';
import {
  BLOCK_BEGIN,
  BLOCK_END,
  E_COUNT,
  E_FLOW,
  E_KIND,
  E_LIFE,
  E_OPEN,
  E_PACKETS,
  E_SLOT,
  EventReader,
  EventRing,
  eventBytes,
  FLOW_BEGIN,
  FLOW_END,
  FLOW_MOVED,
  formatEvents,
  MAPPING_BEGIN,
  MAPPING_END,
  MARK_WORDS,
  REFUSED,
  S_PORTS,
  S_WHAT,
  SLOT_WORDS,
  WANT_BLOCKS,
  WANT_FLOWS,
  WANT_MAPPINGS,
  WANT_REFUSALS,
} from '../../src/engine/event-ring.ts';
import { tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { Bed, type BedOptions, EXTERNAL } from './bed.ts';

const FLOWS = 64;
const SERVER = '203.0.113.9';
const ALL = WANT_FLOWS | WANT_MAPPINGS | WANT_BLOCKS | WANT_REFUSALS;

interface Seen {
  kind: number;
  why: string;
  /** Of flows: number and life. */
  id: string;
  words: number[];
}

function memoryOf(wanted = ALL, records = 1024): ArrayBuffer {
  const sizes = { records, flows: FLOWS, slots: 256 };
  const memory = new ArrayBuffer(eventBytes(sizes));
  formatEvents(memory, sizes, 1e12);
  new EventReader(memory).want(wanted);
  return memory;
}

function bedWith(memory: ArrayBuffer, options: BedOptions = {}): Bed {
  return new Bed({ flows: FLOWS, timeouts: { udp: 30 }, ...options, events: { memory, clock: () => 1e12 } });
}

function seen(memory: ArrayBuffer): { events: Seen[]; lost: number } {
  const events: Seen[] = [];
  const reader = new EventReader(memory);
  let lost = 0;
  while (reader.take()) {
    lost += reader.takeLost();
    const words = [...reader.record];
    const kind = words[E_KIND]! & 0xff;
    const why = kind === FLOW_END ? endReasonNames[words[E_KIND]! >>> 16]! : '';
    events.push({ kind, why, id: `${words[E_FLOW]}.${words[E_LIFE]}`, words });
  }
  lost += reader.takeLost();
  reader.commit();
  return { events, lost };
}

/** Throws where something ends that has not begun, or begins twice; returns how many have begun and what has not ended. */
function pair(events: readonly Seen[]): { begun: number; open: Set<string> } {
  const open = new Set<string>();
  let begun = 0;
  for (const { kind, id, words } of events) {
    const key = kind <= FLOW_MOVED ? `flow ${id}` : `slot ${words[E_SLOT]}`;
    if ([FLOW_BEGIN, MAPPING_BEGIN, BLOCK_BEGIN].includes(kind)) {
      if (open.has(key)) throw new Error(`${key} begins twice`);
      open.add(key);
      if (kind === FLOW_BEGIN) begun++;
    } else if ([FLOW_END, MAPPING_END, BLOCK_END].includes(kind) && !open.delete(key)) {
      throw new Error(`${key} ends, and has not begun`);
    }
  }
  return { begun, open };
}

const query = (port: number) => udpPacket({ from: `10.77.0.2:${port}`, to: `${SERVER}:53` });

test('a flow and its mapping begin and end, with what was carried', () => {
  const memory = memoryOf();
  const bed = bedWith(memory);
  bed.out(query(40_000));
  bed.in(udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000` }));
  bed.pass(400_000);
  const { events, lost } = seen(memory);
  expect(lost).toBe(0);
  expect(events.map(({ kind }) => kind).toSorted()).toEqual([
    FLOW_BEGIN,
    FLOW_END,
    MAPPING_BEGIN,
    MAPPING_END,
  ]);
  expect(pair(events).open).toEqual(new Set());
  const find = (kind: number) => events.find((event) => event.kind === kind)!;
  expect(find(MAPPING_BEGIN).words[E_OPEN + S_PORTS]).toBe(40_000 | (40_000 << 16));
  expect(find(FLOW_END)).toMatchObject({ why: 'timeout', id: find(FLOW_BEGIN).id });
  expect(find(FLOW_END).words.slice(E_PACKETS, E_PACKETS + 2)).toEqual([1, 1]);
  expect(seen(memory).events).toEqual([]);
});

test('what nobody wants is not written', () => {
  const memory = memoryOf(0);
  const bed = bedWith(memory);
  bed.out(query(40_000));
  bed.pass(400_000);
  expect(new EventReader(memory).head).toBe(0);
  new EventReader(memory).want(WANT_MAPPINGS);
  bed.out(query(40_001));
  bed.pass(400_000);
  expect(seen(memory).events.map(({ kind }) => kind)).toEqual([MAPPING_BEGIN, MAPPING_END]);
});

test('refusals of one kind are one record a second, with their number', () => {
  const memory = memoryOf(WANT_REFUSALS);
  const bed = bedWith(memory);
  for (let port = 1; port <= FLOWS + 10; port++) bed.out(query(2000 + port));
  bed.pass(2000);
  const refused = seen(memory).events.filter(({ kind }) => kind === REFUSED);
  expect(refused.map(({ words }) => words[E_COUNT])).toEqual([1, 9]);
  const reasons = refused.map(({ words }) => reasonNames[words[E_KIND]! >>> 16]);
  expect(new Set(reasons)).toEqual(new Set([reasonNames[TABLE_FULL]]));
});

test('a reader that comes late knows exactly how many it missed', () => {
  const memory = memoryOf(ALL, 256);
  const ring = new EventRing(memory);
  for (let n = 0; n < 1000; n++) ring.publish(ring.claim(FLOW_BEGIN, n));
  const { events, lost } = seen(memory);
  expect(events.length + lost).toBe(1000);
  expect(events.length).toBeGreaterThanOrEqual(240);
  expect(seen(memory)).toEqual({ events: [], lost: 0 });
});

test('a writer goes on behind a record that the one before had not counted yet', () => {
  const memory = memoryOf();
  const ring = new EventRing(memory);
  for (let n = 0; n < 3; n++) ring.publish(ring.claim(FLOW_BEGIN, n));
  // HEAD, which is written last.
  new Float64Array(memory)[8] = 2;
  expect(new EventRing(memory).head).toBe(3);
});

describe('an engine is killed', () => {
  const marks = (memory: ArrayBuffer) => new EventReader(memory).marks;
  test.each<[string, (bed: Bed, memory: ArrayBuffer) => void]>([
    ['when nothing is under way', () => {}],
    [
      'before a begin is written',
      (bed, memory) => {
        // As if the log had not been reached.
        new EventReader(memory).want(0);
        bed.out(query(41_000));
        new EventReader(memory).want(ALL);
      },
    ],
    [
      'when a begin is written and not yet marked',
      (bed, memory) => {
        bed.out(query(41_000));
        const last = bed.engine.sessions.table.count - 1;
        marks(memory).fill(0, last * MARK_WORDS, (last + 1) * MARK_WORDS);
      },
    ],
    [
      'when an end is written and not yet marked',
      (bed, memory) => {
        const before = marks(memory).slice(0, MARK_WORDS);
        bed.engine.sessions.events!.end(0, 0);
        marks(memory).set(before);
      },
    ],
    ['when an end is marked and the flow is still there', (bed) => bed.engine.sessions.events!.end(0, 0)],
    [
      'when a flow is half freed',
      (bed) => {
        bed.engine.sessions.events!.end(0, 0);
        bed.engine.sessions.table.hot[H_SEQUENCE]! += 1;
      },
    ],
    [
      'when a flow is half made',
      (bed) => {
        const { hot } = bed.engine.sessions.table;
        hot[5 * HOT + H_SEQUENCE] = 1;
        hot[5 * HOT + H_STATUS] = 17 | (1 << 16);
      },
    ],
    [
      'when a mapping is written and its slot is not filled',
      (bed, memory) => {
        const reader = new EventReader(memory);
        reader.want(WANT_MAPPINGS);
        bed.out(query(41_000));
        reader.want(ALL);
        const ring = new EventRing(memory);
        reader.slots[ring.words[ring.last + E_SLOT]! * SLOT_WORDS + S_WHAT] = 0;
      },
    ],
  ])('%s', (_, kill) => {
    const memory = memoryOf();
    const before = bedWith(memory);
    before.out(query(40_000));
    before.out(tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'S' }));
    kill(before, memory);
    const bed = bedWith(memory, { after: before });
    bed.pass(600_000);
    expect(bed.flows()).toEqual([]);
    const { begun, open } = pair(seen(memory).events);
    expect(open).toEqual(new Set());
    expect(begun).toBeGreaterThanOrEqual(2);
  });

  test('at any record, one after the other', () => {
    // Of a ring whose last record is taken away, the engine that wrote it had not come further than the one before.
    const memory = memoryOf();
    let bed = bedWith(memory);
    for (let round = 0; round < 20; round++) {
      bed.out(query(40_000 + round));
      if (round % 3 === 0) bed.pass(40_000);
      bed = bedWith(memory, { after: bed });
    }
    bed.pass(600_000);
    const { begun, open } = pair(seen(memory).events);
    expect([begun, open]).toEqual([20, new Set()]);
  });
});

test('the end of a gateway ends all, and a state that is thrown away does', () => {
  const memory = memoryOf();
  const bed = bedWith(memory);
  bed.out(query(40_000));
  bed.out(query(40_001));
  const closing = { state: bed.state, memory, clock: () => 1e12, now: bed.now, wait: () => false };
  endEvents(closing, endReasonNames.indexOf('forgotten'));
  forgetLives(memory, 1e12);
  const { events } = seen(memory);
  expect(pair(events)).toEqual({ begun: 2, open: new Set() });
  expect(events.filter(({ kind }) => kind === FLOW_END).map(({ why }) => why)).toEqual([
    'forgotten',
    'forgotten',
  ]);
  const next = bedWith(memory);
  next.out(query(40_000));
  next.pass(400_000);
  expect(pair(seen(memory).events)).toEqual({ begun: 1, open: new Set() });
});
