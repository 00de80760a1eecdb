/** What workers share: keys and rings, by themselves. */
import { expect, test } from 'vitest';
import { packetOffset } from '../../src/engine/arena.ts';
import { Ring, ringBytes } from '../../src/engine/ring.ts';
import {
  DESTINATION,
  NOBODY,
  SharedKeys,
  SOURCE,
  sharedKeysBytes,
  TUPLE,
} from '../../src/engine/shared-keys.ts';
import { MemoryLink } from '../../src/link/memory.ts';
import { SharedHosts, sharedHostsBytes } from '../../src/nat/shared-hosts.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import { filler } from './packets.ts';

const makeKeys = (flows: number) => {
  const words = new Int32Array(new SharedArrayBuffer(sharedKeysBytes(flows)));
  return [new SharedKeys(words, [1, 2]), new SharedKeys(words, [1, 2])] as const;
};

test('keys: one worker’s are found by another, of their kind and protocol only', () => {
  const [a, b] = makeKeys(1024);
  expect(b.isEmpty).toBe(true);
  a.put(TUPLE, 3, 17, 1, 2, 3);
  expect(b.isEmpty).toBe(false);
  expect(b.find(TUPLE, 17, 1, 2, 3)).toBe(3);
  expect(b.find(SOURCE, 17, 1, 2, 3)).toBe(NOBODY);
  expect(b.find(TUPLE, 6, 1, 2, 3)).toBe(NOBODY);
  expect(b.find(TUPLE, 17, 1, 2, 4)).toBe(NOBODY);
  // Another's is not his to remove.
  b.remove(TUPLE, 2, 17, 1, 2, 3);
  expect(b.find(TUPLE, 17, 1, 2, 3)).toBe(3);
  a.remove(TUPLE, 3, 17, 1, 2, 3);
  expect(b.find(TUPLE, 17, 1, 2, 3)).toBe(NOBODY);
  expect(b.isEmpty).toBe(true);
});

test('keys: the same one twice goes after two removals', () => {
  const [keys] = makeKeys(1024);
  keys.put(DESTINATION, 1, 6, 9, 0, 7);
  keys.put(DESTINATION, 1, 6, 9, 0, 7);
  keys.remove(DESTINATION, 1, 6, 9, 0, 7);
  expect(keys.find(DESTINATION, 6, 9, 0, 7)).toBe(1);
  keys.remove(DESTINATION, 1, 6, 9, 0, 7);
  expect(keys.find(DESTINATION, 6, 9, 0, 7)).toBe(NOBODY);
});

test('keys: as many as flows fit, all found, all gone again', () => {
  const flows = 65_536;
  const [keys] = makeKeys(flows);
  const all = Array.from({ length: flows }, (_, i) => i);
  expect(all.filter((i) => !keys.put(TUPLE, i & 15, 6, i, -i, i * 7))).toEqual([]);
  expect(all.filter((i) => keys.find(TUPLE, 6, i, -i, i * 7) !== (i & 15))).toEqual([]);
  for (let i = 0; i < flows; i++) keys.remove(TUPLE, i & 15, 6, i, -i, i * 7);
  expect(keys.isEmpty).toBe(true);
});

test('keys: too many are refused', () => {
  const [keys] = makeKeys(512);
  let put = 0;
  for (let i = 0; i < 4096; i++) if (keys.put(TUPLE, 1, 6, i, 0, 0)) put++;
  expect(put).toBeGreaterThan(512);
  expect(put).toBeLessThanOrEqual(1024);
});

/** Two ends of one ring, each with an arena of its own. */
function makeRing() {
  const memory = new SharedArrayBuffer(ringBytes(16));
  const [writer, reader] = [new Ring(memory), new Ring(memory)];
  const [out, back] = [new MemoryLink(), new MemoryLink()];
  const [outBytes, backBytes] = [new Bytes(out.arena), new Bytes(back.arena)];
  const put = (packet: Uint8Array, a = 0) => {
    out.receive(0, packet);
    out.takeBatch();
    return writer.putPacket(1, outBytes, 0, 7, packet.length, a, -2, 3);
  };
  /** What the next record has: its argument and packet. */
  const take = (): [number, Uint8Array] | null => {
    const record = reader.next();
    if (record < 0) return null;
    const length = reader.length(record);
    reader.load(record, backBytes, 0);
    backBytes.i32[2048] = reader.device(record) << 16;
    backBytes.i32[2049] = length;
    const found: [number, Uint8Array] = [reader.argument(record, 0), back.sent(1)[0]!.packet];
    reader.drop(record);
    return found;
  };
  return { writer, reader, put, take };
}

test('a ring: packets of all sizes in order, round its end many times', () => {
  const { put, take, reader } = makeRing();
  const sizes = [20, 21, 1500, 2035, 2036, 2037, 2040, 9000, 65_535];
  let taken = 0;
  const expectNext = () => {
    const [number, packet] = take()!;
    expect(number).toBe(taken);
    expect(Buffer.compare(packet, filler(sizes[taken % sizes.length]!, taken))).toBe(0);
    taken++;
  };
  for (let i = 0; i < 400; i++) {
    expect(put(filler(sizes[i % sizes.length]!, i), i)).toBe(true);
    // The reader is some packets behind.
    if (i < 3) continue;
    expectNext();
  }
  while (taken < 400) expectNext();
  expect([take(), reader.isEmpty]).toEqual([null, true]);
});

test('a ring that is full for packets still takes notes', () => {
  const { writer, put, take } = makeRing();
  let packets = 0;
  while (put(filler(1000), packets)) packets++;
  expect(packets).toBeGreaterThan(400);
  for (let i = 0; i < 500; i++) expect(writer.putNote(4, i, 0, 0, 0)).toBe(true);
  for (let i = 0; i < packets; i++) expect(take()![0]).toBe(i);
  expect(put(filler(1000))).toBe(true);
});

test('the virtio_net_hdr goes along', () => {
  const memory = new SharedArrayBuffer(ringBytes(16));
  const [out, back] = [new MemoryLink(), new MemoryLink()];
  const vnet = Uint8Array.from({ length: 10 }, (_, i) => i + 1);
  out.receive(0, filler(40), vnet);
  const ring = new Ring(memory);
  ring.putPacket(1, new Bytes(out.arena), 0, 0, 40, 0, 0, 0);
  ring.load(ring.next(), new Bytes(back.arena), 5);
  const at = packetOffset(5);
  expect(new Uint8Array(back.arena).slice(at - 10, at)).toEqual(vnet);
});

test('hosts: counts of all workers add up, and rows are free again', () => {
  const rows = new Int32Array(new SharedArrayBuffer(sharedHostsBytes(2)));
  const [a, b] = [new SharedHosts(true, rows, 2, 0), new SharedHosts(true, rows, 2, 1)];
  for (let host = 1; host <= 3000; host++) {
    a.add(host, 3);
    b.add(host, 3);
    b.add(host, 1);
  }
  expect([a.count(7, 3), b.count(7, 3), a.count(7, 1), a.count(7, 0), a.count(4000, 3)]).toEqual([
    2, 2, 1, 0, 0,
  ]);
  for (let host = 1; host <= 3000; host++) {
    a.remove(host, 3);
    b.remove(host, 3);
    b.remove(host, 1);
  }
  expect(a.count(7, 3)).toBe(0);
  expect(rows.every((word, i) => i % 5 !== 0 || word === 0)).toBe(true);
});
