/** Two ends of a TCP connection that talk through an adjuster: what one wrote, edited, is what the other reads. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FlowTable } from '../../src/conntrack/flow-table.ts';
import { SequenceAdjust } from '../../src/nat/sequence-adjust.ts';
import { tcpPacket, verifyChecksums } from '../../src/testing/packets.ts';
import { Bytes } from '../../src/wire/bytes.ts';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000_000);

function newTable(): FlowTable {
  return new FlowTable(new ArrayBuffer(FlowTable.bytes(16)), 0, 16, [1, 2]);
}

function newFlow(table: FlowTable, port = 1): number {
  return table.create(6, 1, 2, port, 2, 1, port << 16, 0, 0);
}

function sack(...edges: number[]): Uint8Array {
  const options = new Uint8Array(4 + edges.length * 4);
  // One no-operation only, so that the blocks are at odd places.
  options.set([1, 5, 2 + edges.length * 4]);
  const view = new DataView(options.buffer);
  for (const [i, edge] of edges.entries()) view.setUint32(3 + i * 4, edge >>> 0);
  return options;
}

interface Numbers {
  seq: number;
  ack: number;
  sack: number[];
}

/** Passes a packet through the adjuster, as the engine does. */
function pass(adjust: SequenceAdjust, flow: number, direction: 0 | 1, sent: Numbers): Numbers {
  const options = sent.sack.length > 0 ? sack(...sent.sack) : new Uint8Array(0);
  const [seq, ack] = [sent.seq >>> 0, sent.ack >>> 0];
  const packet = tcpPacket({ from: '1.0.0.1:1', to: '2.0.0.2:2', flags: 'A', seq, ack, options });
  const bytes = new Bytes(new ArrayBuffer(128));
  bytes.u8.set(packet);
  adjust.acknowledge(bytes, 20, flow, direction, false);
  adjust.renumber(bytes, 20, flow, direction, false);
  const out = bytes.u8.slice(0, packet.length);
  expect(verifyChecksums(out)).toBe(true);
  const view = new DataView(out.buffer);
  return {
    seq: view.getInt32(24),
    ack: view.getInt32(28),
    sack: sent.sack.map((_, i) => view.getInt32(43 + i * 4)),
  };
}

describe('numbers', () => {
  test('before, at and after a change', () => {
    const table = newTable();
    const flow = newFlow(table);
    const adjust = new SequenceAdjust(new Int32Array(SequenceAdjust.words()), table.hot);
    expect(adjust.offsetOf(flow, 0, 100)).toBe(0);
    expect(adjust.change(flow, 0, 1000, 7)).toBe(true);
    expect([999, 1000, 1001].map((seq) => adjust.offsetOf(flow, 0, seq))).toEqual([0, 0, 7]);
    expect(adjust.offsetOf(flow, 1, 5000)).toBe(0);
    // The same again is no second change; a later one adds to it.
    adjust.change(flow, 0, 1000, 7);
    adjust.change(flow, 0, 2000, -10);
    expect([1500, 2000, 2001].map((seq) => adjust.offsetOf(flow, 0, seq))).toEqual([7, 7, -3]);
  });

  test('acknowledgements and SACK blocks go back, across the wrap, and the checksum is right', () => {
    const table = newTable();
    const flow = newFlow(table);
    const adjust = new SequenceAdjust(new Int32Array(SequenceAdjust.words()), table.hot);
    adjust.change(flow, 0, -10, 20);
    expect(pass(adjust, flow, 0, { seq: 5, ack: 70, sack: [] })).toEqual({ seq: 25, ack: 70, sack: [] });
    expect(pass(adjust, flow, 1, { seq: 70, ack: 25, sack: [30, 40, -30, -20] })).toEqual({
      seq: 70,
      ack: 5,
      sack: [10, 20, -30, -20],
    });
  });

  test('a partial checksum is left alone', () => {
    const table = newTable();
    const flow = newFlow(table);
    const adjust = new SequenceAdjust(new Int32Array(SequenceAdjust.words()), table.hot);
    adjust.change(flow, 0, 0, 5);
    const bytes = new Bytes(new ArrayBuffer(64));
    bytes.u8.set(tcpPacket({ from: '1.0.0.1:1', to: '2.0.0.2:2', flags: 'A', seq: 10 }));
    const before = bytes.u16[(20 + 16) >> 1];
    adjust.renumber(bytes, 20, flow, 0, true);
    expect(bytes.u16[(20 + 16) >> 1]).toBe(before);
    expect(new DataView(bytes.u8.buffer).getUint32(24)).toBe(15);
  });

  test('a new life of the flow begins without offsets', () => {
    const table = newTable();
    const flow = newFlow(table);
    const adjust = new SequenceAdjust(new Int32Array(SequenceAdjust.words()), table.hot);
    adjust.change(flow, 0, 0, 5);
    table.destroy(flow);
    expect(newFlow(table, 2)).toBe(flow);
    expect(adjust.offsetOf(flow, 0, 10)).toBe(0);
  });
});

test(`streams are equal after the edits (seed ${SEED})`, () => {
  const segment = fc.record({
    length: fc.integer({ min: 1, max: 30 }),
    /** What the helper makes of the segment: bytes more or fewer. */
    growth: fc.option(fc.integer({ min: -20, max: 20 }), { nil: 0 }),
    /** Transmissions: the last one arrives. */
    copies: fc.integer({ min: 1, max: 3 }),
    direction: fc.constantFrom(0 as const, 1 as const),
  });
  const property = fc.property(
    fc.array(segment, { maxLength: 40 }),
    fc.integer(),
    fc.integer(),
    (segments, start0, start1) => {
      const table = newTable();
      const flow = newFlow(table);
      const adjust = new SequenceAdjust(new Int32Array(SequenceAdjust.words()), table.hot);
      /** Next byte of each end as it counts, and the next that the other end waits for. */
      const sent: [number, number] = [start0 | 0, start1 | 0];
      const awaited: [number, number] = [start0 | 0, start1 | 0];
      for (const { length, growth, copies, direction } of segments) {
        const other = (direction ^ 1) as 0 | 1;
        const after = Math.max(length + growth, 1);
        for (let copy = 0; copy < copies; copy++) {
          if (after !== length) adjust.change(flow, direction, sent[direction], after - length);
          const there = pass(adjust, flow, direction, {
            seq: sent[direction],
            ack: awaited[other],
            sack: [],
          });
          expect(there.seq, 'every copy lands where the receiver waits').toBe(awaited[direction]);
          expect(there.ack, 'and acknowledges what the receiver has sent').toBe(sent[other]);
        }
        sent[direction] = (sent[direction] + length) | 0;
        awaited[direction] = (awaited[direction] + after) | 0;
        const back = pass(adjust, flow, other, { seq: sent[other], ack: awaited[direction], sack: [] });
        expect(back.ack).toBe(sent[direction]);
        // A hole behind: the blocks are in the receiver's numbers too.
        const [from, to] = [(awaited[direction] + 5) | 0, (awaited[direction] + 9) | 0];
        const holed = pass(adjust, flow, other, {
          seq: sent[other],
          ack: awaited[direction],
          sack: [from, to],
        });
        expect(holed.sack).toEqual([(sent[direction] + 5) | 0, (sent[direction] + 9) | 0]);
      }
    },
  );
  fc.assert(property, { seed: SEED, numRuns: 300 });
});
