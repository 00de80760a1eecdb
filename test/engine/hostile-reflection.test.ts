/** What natgate answers with is no weapon: few, small, and to nobody who cannot have asked. */
import { describe, expect, test } from 'vitest';
import { DESTINATION_BURST } from '../../src/engine/icmp-errors.ts';
import { tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { config, rule } from '../policy/firewall/rules.ts';
import { Bed, PRIVATE, to } from './bed.ts';
import { filler } from './packets.ts';

const SERVER = '203.0.113.9';
const probe = (host: string, port: number, size = 4) =>
  udpPacket({ from: `${host}:${port}`, to: `${SERVER}:53`, ttl: 1, payload: filler(size) });

test('one who provokes errors without end leaves the others theirs', () => {
  const bed = new Bed();
  let flooded = 0;
  for (let i = 0; i < 2000; i++) flooded += to(PRIVATE, bed.out(probe('10.77.0.2', 1024 + i))).length;
  expect(flooded).toBe(DESTINATION_BURST);
  for (let host = 3; host < 20; host++) {
    expect(to(PRIVATE, bed.out(probe(`10.77.0.${host}`, 5000))), `host ${host}`).toHaveLength(1);
  }
});

test('all together have the limit of all', () => {
  const bed = new Bed();
  let sent = 0;
  for (let i = 0; i < 2000; i++)
    sent += to(PRIVATE, bed.out(probe(`10.77.0.${2 + (i % 250)}`, 5000 + i))).length;
  expect(sent).toBe(200);
});

describe('refused by a firewall', () => {
  const refusing = () =>
    new Bed({
      firewall: config([rule({ kind: 'reject', with: 'tcp-reset' }, { directions: ['outbound'] })]),
    });

  test('RSTs: one destination gets its part', () => {
    const bed = refusing();
    let sent = 0;
    const syn = (host: string, port: number) =>
      tcpPacket({ from: `${host}:${port}`, to: `${SERVER}:80`, flags: 'S' });
    for (let i = 0; i < 1000; i++) sent += bed.out(syn('10.77.0.2', 1024 + i)).length;
    expect(sent).toBe(DESTINATION_BURST);
    expect(bed.out(syn('10.77.0.3', 5000))).toHaveLength(1);
  });
});

test('an answer is larger than what it is about by its own headers at most', () => {
  for (const size of [0, 100, 500, 1400]) {
    const bed = new Bed();
    const packet = probe('10.77.0.2', 5000, size);
    const [answer] = to(PRIVATE, bed.out(packet));
    expect(answer!.length).toBeLessThanOrEqual(Math.min(packet.length + 28, 576));
  }
});

test.each(['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255', '10.77.0.1', '198.18.0.1', '169.254.1.1'])(
  'nothing is sent to %s',
  (source) => {
    const bed = new Bed();
    expect(bed.out(probe(source, 5000))).toEqual([]);
    expect(bed.in(probe(source, 5000))).toEqual([]);
  },
);
