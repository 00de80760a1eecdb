/** Somebody knows the hash key and makes flows collide: the engine takes another key, and every packet goes its way as before. */
import { expect, test } from 'vitest';
import { adoptRecords } from '../../src/conntrack/flow-adoption.ts';
import { C_CREATED, COLD, type FlowTable, H_SEQUENCE, HOT } from '../../src/conntrack/flow-table.ts';
import { rekeyTable } from '../../src/conntrack/rekey.ts';
import { FAR } from '../../src/conntrack/tag-index.ts';
import type { HashKey } from '../../src/conntrack/tuple.ts';
import { beginChange, endChange } from '../../src/engine/hash-keys.ts';
import { flowTableOf, formatState, openState, stateBytes } from '../../src/engine/state.ts';
import { udpPacket } from '../../src/testing/index.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { swap16 } from '../../src/wire/bytes.ts';
import { collidingTuples, farthestOf, type Tuple } from '../conntrack/colliding.ts';
import { toHex } from '../wire/hex.ts';
import { address, Bed, EXTERNAL, PRIVATE, PUBLIC } from './bed.ts';

const FIRST: HashKey = [0x1234567, -0x89abcde];
const SECOND: HashKey = [77, -99];
const SERVER = '203.0.113.9';

/** Of a host of the private network: from each of its ports to one port, then to the next. */
const ofHost =
  (host: number) =>
  (n: number): Tuple => {
    const from = swap16(1024 + (n % 60_000));
    const to = swap16(1 + Math.floor(n / 60_000));
    return [address(`10.77.0.${host}`), address(SERVER), from | (to << 16)];
  };

/** Its packet, and the answer to what left for it. */
function packetOf([source, , ports]: Tuple): Uint8Array {
  const [from, to] = [swap16(ports & 0xffff), swap16(ports >>> 16)];
  return udpPacket({ from: `${formatAddress(source)}:${from}`, to: `${SERVER}:${to}`, payload: 'data' });
}

function answerTo(left: Uint8Array): Uint8Array {
  const port = (at: number) => (left[at]! << 8) | left[at + 1]!;
  return udpPacket({ from: `${SERVER}:${port(22)}`, to: `${EXTERNAL}:${port(20)}`, payload: 'answer' });
}

/** What leaves for each packet, and for an answer to it. */
function outcomes(bed: Bed, packets: readonly Uint8Array[]): string[] {
  return packets.map((packet) => {
    const [out] = bed.run([{ device: PRIVATE, packet }]);
    const [back] = bed.run([{ device: PUBLIC, packet: answerTo(out!.packet) }]);
    return `${toHex(out!.packet)} ${back!.device} ${toHex(back!.packet)}`;
  });
}

test('an attack with a known key: noted, another key, all flows as before; and no more than once a minute', () => {
  const lines: string[] = [];
  const bed = new Bed({ flows: 2048, log: (line) => lines.push(line) });
  const { table } = bed.engine.tracker;
  const { rekeyer } = bed.engine.sessions;
  rekeyer.newKey = () => SECOND;
  let time = 0;
  let signs = 0;
  rekeyer.watch = { alive: () => signs++, clock: () => (time += 7) };
  const collide = (key: HashKey, host: number) =>
    collidingTuples(FAR + 60, 17, key, table.index.mask, ofHost(host)).map(packetOf);
  const first = collide(FIRST, 10);
  outcomes(bed, first.slice(0, FAR - 40));
  expect(bed.totals['hash_rekeys']).toBe(0);
  outcomes(bed, first);
  expect(bed.totals['hash_rekeys']).toBe(1);
  expect(openState(bed.state).keys).toEqual({ key: SECOND, former: null });
  expect(farthestOf(table)).toBeLessThan(100);
  expect(signs).toBe(1);
  expect(lines).toEqual([
    expect.stringMatching(/^hash key changed: \d+ flows, 7 ms, an entry was 25[789] places from home$/),
  ]);

  // Whoever knows the second one may go on for the rest of the minute.
  const second = collide(SECOND, 20);
  const packets = [...first, ...second];
  outcomes(bed, packets);
  bed.pass(30_000);
  const before = outcomes(bed, packets);
  expect(farthestOf(table)).toBeGreaterThan(FAR);
  expect(bed.totals['hash_rekeys']).toBe(1);
  rekeyer.newKey = () => [3, 4];
  bed.pass(30_000);
  expect(bed.totals['hash_rekeys']).toBe(2);
  expect(farthestOf(table)).toBeLessThan(100);
  expect(table.count).toBe(packets.length);
  expect(outcomes(bed, packets)).toEqual(before);
  expect(bed.totals['flows_started']).toBe(packets.length);
  bed.checkInvariants();

  const next = new Bed({ flows: 2048, after: bed });
  expect(outcomes(next, packets)).toEqual(before);
  expect(next.totals).toMatchObject({ flows_lost_at_restart: 0, flows_started: packets.length });
  next.checkInvariants();
});

test('an engine that takes a crowded table over gives it another key', () => {
  const bed = new Bed({ flows: 2048 });
  const { table } = bed.engine.tracker;
  // From outside the engine's turns: nothing is noticed.
  bed.engine.sessions.rekeyer.tick = () => {};
  const tuples = collidingTuples(FAR + 20, 17, FIRST, table.index.mask, ofHost(9));
  outcomes(bed, tuples.map(packetOf));
  expect(farthestOf(table)).toBeGreaterThan(FAR);
  const next = new Bed({ flows: 2048, after: bed });
  next.pass(1000);
  expect(next.totals).toMatchObject({ hash_rekeys: 1, flows_lost_at_restart: 0 });
  expect(farthestOf(next.engine.tracker.table)).toBeLessThan(100);
  const { key } = openState(bed.state).keys;
  expect(key).not.toEqual(FIRST);
});

test('a key that does not help is tried half as often, up to once an hour', () => {
  const lines: string[] = [];
  const bed = new Bed({
    flows: 2048,
    log: (line) => lines.push(line),
    timeouts: { udp: 100_000, udpStream: 100_000 },
  });
  const { rekeyer } = bed.engine.sessions;
  const { mask } = bed.engine.tracker.table.index;
  rekeyer.newKey = () => FIRST;
  outcomes(bed, collidingTuples(FAR + 20, 17, FIRST, mask, ofHost(9)).map(packetOf));
  expect(lines).toEqual([
    expect.stringMatching(/an entry was \d+ places from home, one is \d+ with the new key$/),
  ]);
  const minutes: number[] = [];
  for (let minute = 1; minute <= 250; minute++) {
    bed.pass(60_000);
    if (bed.totals['hash_rekeys']! > minutes.length + 1) minutes.push(minute);
  }
  expect(minutes).toEqual([2, 6, 14, 30, 62, 122, 182, 242]);
  rekeyer.newKey = () => SECOND;
  bed.pass(3_600_000);
  expect(lines.at(-1)).toMatch(/places from home$/);
  expect(bed.totals['hash_rekeys']).toBe(10);
  bed.pass(7_200_000);
  expect(bed.totals['hash_rekeys']).toBe(10);
});

/** What names a flow, of each live record. */
function identities({ hot, cold, capacity, isLive }: FlowTable, table: FlowTable): string[] {
  const found: string[] = [];
  for (let flow = 0; flow < capacity; flow++) {
    if (!isLive.call(table, flow)) continue;
    const words = [0, 1, 2, 3, 4, 5, H_SEQUENCE].map((word) => hot[flow * HOT + word]);
    found.push([flow, ...words, cold[flow * COLD + C_CREATED]].join(' '));
  }
  return found;
}

test('killed between any two stores of a change, and of the adoption after it: no flow is lost', () => {
  const CAPACITY = 40;
  const buffer = new ArrayBuffer(stateBytes(CAPACITY));
  formatState(buffer, CAPACITY, FIRST);
  const table = flowTableOf(openState(buffer));
  for (let n = 0; n < 30; n++) table.create(n & 1 ? 6 : 17, n, 1, 2, 3, n, 4, 0, 100 + n);
  for (let n = 0; n < 30; n += 3) table.destroy(n);
  const right = identities(table, table);
  expect(right).toHaveLength(20);

  /** Does `what` to a copy of a state, and calls `each` with the state after each store. */
  const cut = (
    from: ArrayBuffer,
    what: (header: Int32Array, table: FlowTable) => void,
    each: (state: ArrayBuffer) => void,
  ): ArrayBuffer => {
    const state = from.slice(0);
    const { header } = openState(state);
    const own = flowTableOf(openState(state));
    adoptRecordsWithoutStores(own);
    let stores = 0;
    const watched = <T extends Int32Array>(words: T): T =>
      new Proxy(words, {
        set: (_, at, value) => {
          words[Number(at)] = value;
          stores++;
          each(state.slice(0));
          return true;
        },
        get: (_, name) => {
          const value = Reflect.get(words, name, words);
          return typeof value === 'function' ? value.bind(words) : value;
        },
      });
    for (const array of ['hot', 'cold'] as const) {
      Object.defineProperty(own, array, { value: watched(own[array]) });
    }
    what(watched(header), own);
    expect(stores).toBeGreaterThan(0);
    return state;
  };
  /** Only what the process itself remembers. */
  const adoptRecordsWithoutStores = (own: FlowTable) => {
    own.beginAdoption(30);
  };
  const adopt = (state: ArrayBuffer): void => {
    const next = flowTableOf(openState(state));
    expect(adoptRecords(next, () => true)).toMatchObject({ torn: 0, damaged: 0, twice: 0, cleared: 0 });
    expect(identities(next, next)).toEqual(right);
    for (let n = 0; n < 30; n++) {
      const found = next.lookup(n, 1, 2, n & 1 ? 6 : 17);
      expect(found).toBe(n % 3 === 0 ? -1 : n << 1);
    }
    // It has sealed all with the current key, so that the former may be forgotten.
    endChange(openState(state).header);
    const last = flowTableOf(openState(state));
    expect(openState(state).keys.former).toBe(null);
    expect(adoptRecords(last, () => true)).toMatchObject({ torn: 0, damaged: 0, twice: 0, cleared: 0 });
    expect(identities(last, last)).toEqual(right);
  };

  let states = 0;
  let state = buffer;
  for (const key of [SECOND, [5, 6], [7, 8]] as const) {
    const halfway: ArrayBuffer[] = [];
    state = cut(
      state,
      (header, own) => {
        beginChange(header, key);
        rekeyTable(own, key);
        endChange(header);
      },
      (copy) => {
        halfway.push(copy.slice(0));
        adopt(copy);
        states++;
      },
    );
    expect(openState(state).keys).toEqual({ key, former: null });
    // An adopter that dies as well: in the middle of a change, and at its end.
    for (const one of [halfway[Math.floor(halfway.length / 2)]!, halfway[6]!]) {
      cut(
        one,
        (header, own) => {
          adoptRecords(own, () => true);
          endChange(header);
        },
        (copy) => {
          adopt(copy);
          states++;
        },
      );
    }
  }
  console.log(`${states} states`);
  expect(states).toBeGreaterThan(200);
});
