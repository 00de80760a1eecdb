/** What is written down of helped flows: killed between any two stores, by any flipped bit, what is adopted is what was written, whole. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FlowTable, H_SEQUENCE, HOT } from '../../src/conntrack/flow-table.ts';
import { HelperJournal, JOURNAL_WORDS, N_KIND, NOTE } from '../../src/engine/helper-journal.ts';

const CAPACITY = 4;
const STRIDE = 32;
const SEED = Number(process.env['NATGATE_SEED'] ?? Date.now() % 1_000_000_000);

function newTable(capacity = CAPACITY): FlowTable {
  return new FlowTable(new ArrayBuffer(FlowTable.bytes(capacity)), 0, capacity, [1, 2]);
}

function make(table: FlowTable, n: number): number {
  return table.create(6, 1, 2, n, 2, 1, n << 16, 0, 0);
}

/** NOTE words that tell `n`. */
function note(n: number): Int32Array {
  return Int32Array.from({ length: NOTE }, (_, i) => (i === N_KIND ? 1 : Math.imul(n, i + 77)));
}

interface Adopted {
  lost: number;
  notes: Map<number, string>;
}

function adopt(words: Int32Array, table: FlowTable): Adopted {
  const { hot, capacity } = table;
  const notes = new Map<number, string>();
  const isLive = (flow: number, life: number) =>
    flow < capacity && table.isLive(flow) && hot[flow * HOT + H_SEQUENCE] === life;
  const lost = new HelperJournal(words, hot).adopt(isLive, (flow, from, at) => {
    expect(notes.has(flow)).toBe(false);
    notes.set(flow, Array.from({ length: NOTE }, (_, i) => from[at + i]).join(' '));
  });
  return { lost, notes };
}

/** Words that call `note` for each store into them. */
function watched(words: Int32Array, noted: (at: number, value: number) => void): Int32Array {
  return new Proxy(words, {
    set: (_, at, value) => {
      noted(Number(at), value);
      words[Number(at)] = value;
      return true;
    },
    get: (_, name) => Reflect.get(words, name, words),
  });
}

test(`killed between any two stores: the note before it or the one after it (seed ${SEED})`, () => {
  const step = fc.record({
    what: fc.constantFrom('write', 'write', 'forget', 'adopt', 'end'),
    which: fc.nat(CAPACITY - 1),
    value: fc.integer({ min: 1 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
      const words = new Int32Array(JOURNAL_WORDS);
      const table = newTable();
      const stores: [number, number][] = [];
      const seen = watched(words, (at, value) => stores.push([at, value]));
      for (let n = 0; n < CAPACITY; n++) make(table, n + 1);
      const model = new Map<number, string>();
      let ports = 100;
      for (const { what, which: flow, value } of steps) {
        const base = words.slice();
        const before = model.get(flow);
        stores.length = 0;
        const journal = new HelperJournal(seen, table.hot);
        if (what === 'write') {
          expect(journal.write(flow, note(value))).toBe(true);
          model.set(flow, note(value).join(' '));
        } else if (what === 'adopt') expect(adopt(seen, table)).toEqual({ lost: 0, notes: model });
        else {
          // Its slot stays as it is where nobody has been told.
          if (what === 'forget') journal.forget(flow);
          model.delete(flow);
        }
        for (let count = 0; count <= stores.length; count++) {
          if (count > 0) base[stores[count - 1]![0]] = stores[count - 1]![1];
          const { lost, notes } = adopt(base.slice(), table);
          expect(lost).toBe(0);
          expect([before, model.get(flow)]).toContain(notes.get(flow));
          if (count === stores.length && what === 'write') expect(notes.get(flow)).toBe(model.get(flow));
          for (const [other, text] of notes) if (other !== flow) expect(text).toBe(model.get(other));
          for (const other of model.keys()) if (other !== flow) expect(notes.has(other)).toBe(true);
        }
        if (what === 'forget' || what === 'end') {
          table.destroy(flow);
          expect(make(table, ports++)).toBe(flow);
          expect(adopt(words.slice(), table).notes).toEqual(model);
        }
      }
    }),
    { seed: SEED, numRuns: 20 },
  );
});

test('an adoption that is cut is done by the next one', () => {
  const table = newTable();
  const flow = make(table, 1);
  const words = new Int32Array(JOURNAL_WORDS);
  const stores: [number, number][] = [];
  const journal = new HelperJournal(
    watched(words, (at, value) => stores.push([at, value])),
    table.hot,
  );
  journal.write(flow, note(5));
  const base = words.slice();
  stores.length = 0;
  journal.write(flow, note(6));
  for (let count = 0; count <= stores.length; count++) {
    const torn = base.slice();
    for (const [at, value] of stores.slice(0, count)) torn[at] = value;
    const whole = adopt(torn.slice(), table);
    const again: [number, number][] = [];
    const copy = torn.slice();
    adopt(
      watched(copy, (at, value) => again.push([at, value])),
      table,
    );
    for (const [at, value] of [...again, [0, torn[0]!] as [number, number]]) {
      expect(adopt(torn.slice(), table)).toEqual(whole);
      torn[at] = value;
    }
    expect(adopt(torn, table)).toEqual(whole);
  }
});

test('a flipped bit in any word of a slot: what was written, or nothing, and then it is counted', () => {
  const table = newTable();
  const words = new Int32Array(JOURNAL_WORDS);
  const journal = new HelperJournal(words, table.hot);
  const flow = make(table, 1);
  journal.write(flow, note(5));
  journal.write(flow, note(-9));
  const ended = make(table, 2);
  journal.write(ended, note(3));
  journal.forget(ended);
  table.destroy(ended);
  const right = note(-9).join(' ');
  const slots = [words.findIndex((word, i) => word !== 0 && i % STRIDE === 1) - 1, 17 * STRIDE];
  expect(words.filter((word, i) => word !== 0 && i % STRIDE === 1)).toHaveLength(1);
  for (const slot of slots) {
    for (let bit = 0; bit < STRIDE * 32; bit++) {
      const copy = words.slice();
      copy[slot + (bit >> 5)]! ^= 1 << (bit & 31);
      const { lost, notes } = adopt(copy, table);
      if (notes.size === 0) expect(lost, `bit ${bit}`).toBe(1);
      else expect([lost, notes.get(flow)]).toEqual([0, right]);
    }
  }
});

test('as many flows as there are slots, nearly; one without room is told so, and takes nobody’s', () => {
  const table = newTable(8192);
  const words = new Int32Array(JOURNAL_WORDS);
  const journal = new HelperJournal(words, table.hot);
  const written = new Map<number, string>();
  for (let n = 0; n < 8192; n++) {
    const flow = make(table, n + 1);
    const hasRoom = journal.hasRoom(flow);
    expect(journal.write(flow, note(n))).toBe(hasRoom);
    if (hasRoom) written.set(flow, note(n).join(' '));
  }
  expect(written.size).toBeGreaterThan(4000);
  expect(written.size).toBeLessThanOrEqual(4096);
  expect(adopt(words, table)).toEqual({ lost: 0, notes: written });
});
