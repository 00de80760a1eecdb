/** What is known of the packet that an engine was at when it threw, and how its like is dropped. */
import { expect, test } from 'vitest';
import { HANDLING, NO_PACKET } from '../../src/engine/arena.ts';
import { type Offence, offenceIn, untranslated } from '../../src/engine/offence.ts';
import { MOST_SIGNATURES } from '../../src/engine/quarantine.ts';
import { type Signature, signatureOf } from '../../src/engine/signature.ts';
import { readPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { filler } from './packets.ts';

const SERVER = '203.0.113.9:4500';
const CLIENT = '10.77.0.2:40000';
const NO_END = 0x7fffffff;
const query = (fields = {}) => udpPacket({ from: CLIENT, to: SERVER, payload: filler(100), ...fields });
const of = (packet: Uint8Array, fields: Partial<Signature> = {}): Signature => ({
  ...signatureOf(PRIVATE, packet, packet.length, NO_END),
  ...fields,
});
const offence = ({ link: { arena }, engine }: Bed): Offence =>
  untranslated(
    offenceIn((offset, bytes) => new Uint8Array(arena, offset, bytes)),
    new Int32Array(arena)[HANDLING]!,
    engine.meta,
  );
/** Takes something away that the engine cannot do without. */
const breakPart = (owner: object, part: string) => {
  (owner as Record<string, unknown>)[part] = null;
};

test('what equals the packet is dropped, whatever differs when it is sent again', () => {
  const bed = new Bed();
  bed.engine.lookup.quarantine.set([of(query())]);
  for (const fields of [{}, { ttl: 9 }, { id: 77 }]) expect(bed.out(query(fields))).toEqual([]);
  expect(bed.drops).toEqual({ quarantined: 3 });
  expect(bed.flows()).toEqual([]);
  expect(bed.out(query({ payload: filler(101) }))).toHaveLength(1);
  expect(bed.out(query({ payload: filler(100).reverse() }))).toHaveLength(1);
  expect(bed.out(query({ from: '10.77.0.3:40000' }))).toHaveLength(1);
  expect(bed.out(query({ to: '203.0.113.9:4501' }))).toHaveLength(1);
  // Also of a flow that is there, which the fast path would have forwarded.
  expect(bed.out(query())).toEqual([]);
  expect(bed.drops).toEqual({ quarantined: 4 });
  expect(bed.dropLog.records.map(({ reasonName }) => reasonName)).toEqual(Array(4).fill('quarantined'));
  bed.checkInvariants();
});

test('more than a header slot is compared as far as that, and by its length', () => {
  const bed = new Bed();
  const large = (length: number, last = 1) => {
    const payload = filler(length);
    payload[length - 1] = last;
    return query({ payload, fragment: 0 });
  };
  bed.engine.lookup.quarantine.set([of(large(4000))]);
  expect(bed.out(large(4000))).toEqual([]);
  expect(bed.out(large(4000, 2))).toEqual([]);
  expect(bed.out(large(4001)).length).toBeGreaterThan(0);
  expect(bed.drops).toEqual({ quarantined: 2 });
});

test('its bytes alone, or its flow alone', () => {
  const bed = new Bed();
  bed.engine.lookup.quarantine.set([of(query(), { likeness: 'bytes' })]);
  expect(bed.out(query({ from: '10.77.0.9:1', to: '203.0.113.1:2' }))).toEqual([]);
  expect(bed.out(query({ payload: filler(99) }))).toHaveLength(1);
  bed.engine.lookup.quarantine.set([of(query(), { likeness: 'tuple' })]);
  expect(bed.out(query({ payload: filler(7) }))).toEqual([]);
  expect(bed.out(query({ from: '10.77.0.2:40001' }))).toHaveLength(1);
  expect(bed.drops).toEqual({ quarantined: 2 });
});

test('for a while', () => {
  const now = 0x7ffffff0;
  const bed = new Bed({ now });
  const until = (seconds: number) => (now + 1000 * seconds) | 0;
  const later = query({ from: '10.77.0.3:40000' });
  bed.engine.lookup.quarantine.set([of(query(), { until: until(10) }), of(later, { until: until(20) })]);
  bed.pass(9000);
  expect([...bed.out(query()), ...bed.out(later)]).toEqual([]);
  bed.pass(2000);
  expect(bed.out(query())).toHaveLength(1);
  expect(bed.out(later)).toEqual([]);
  bed.pass(10_000);
  expect(bed.out(later)).toHaveLength(1);
  expect(bed.engine.lookup.quarantine.isOn).toBe(false);
});

test('of more signatures than there is room for, the first ones', () => {
  const bed = new Bed();
  const many = Array.from({ length: MOST_SIGNATURES + 1 }, (_, i) =>
    query({ from: `10.77.0.2:${1000 + i}` }),
  );
  bed.engine.lookup.quarantine.set(many.map((packet) => of(packet)));
  for (const packet of many) bed.out(packet);
  expect(bed.drops).toEqual({ quarantined: MOST_SIGNATURES });
});

test('an engine between two batches is at no packet', () => {
  const bed = new Bed();
  expect(bed.out(query())).toHaveLength(1);
  expect(new Int32Array(bed.link.arena)[HANDLING]).toBe(NO_PACKET);
  expect(offence(bed)).toEqual({ packets: [] });
});

test('the packet of a new flow is found, all of it', () => {
  const bed = new Bed();
  const packet = query({ payload: filler(5000), fragment: 0 });
  breakPart(bed.engine.sessions, 'decider');
  const batch = [
    { device: PRIVATE, packet: tcpPacket({ from: CLIENT, to: SERVER, flags: 'A' }).subarray(0, 30) },
    { device: PRIVATE, packet },
  ];
  expect(() => bed.run(batch)).toThrow();
  const { packets } = offence(bed);
  expect(packets.map(({ device }) => device)).toEqual([PRIVATE]);
  expect(packets[0]!.bytes).toEqual(packet);
});

test.each([PRIVATE, PUBLIC])(
  'of a flow that is there, from device %d: as it came, though it has been translated',
  (device) => {
    const bed = new Bed();
    const [sent] = to(PUBLIC, bed.out(query()));
    const { from: source } = readPacket(sent!);
    const answer = udpPacket({ from: SERVER, to: source, payload: filler(30) });
    bed.in(answer);
    bed.out(query());
    const packet = device === PRIVATE ? query({ payload: filler(11) }) : answer;
    breakPart(bed.engine.fast, 'counters');
    const first = { device: PRIVATE, packet: query({ from: '10.77.0.3:1' }) };
    expect(() => bed.run([first, { device, packet }])).toThrow();
    const [found] = offence(bed).packets;
    const [expected, actual] = [packet, found!.bytes].map((bytes) =>
      signatureOf(device, bytes, bytes.length, 0),
    );
    expect(found!.device).toBe(device);
    expect(actual).toEqual(expected);
    expect(readPacket(packet).to).toBe(device === PRIVATE ? SERVER : `${EXTERNAL}:40000`);
  },
);

test('while a batch is looked up, all of it is under suspicion', () => {
  const bed = new Bed();
  for (let i = 0; i < 5; i++) bed.run(Array(9).fill({ device: PRIVATE, packet: query() }));
  breakPart(bed.engine.lookup, 'table');
  const batch = [1, 2, 3].map((port) => ({ device: PRIVATE, packet: query({ from: `10.77.0.2:${port}` }) }));
  expect(() => bed.run(batch)).toThrow();
  expect(offence(bed).packets.map(({ bytes }) => bytes)).toEqual(batch.map(({ packet }) => packet));
});
