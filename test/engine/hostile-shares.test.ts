/** One client floods: the others go on, whatever it takes (engine/fair-shares.ts, nat/port-allocator.ts). */
import { describe, expect, test } from 'vitest';
import { masqueradeAll } from '../../src/nat/config.ts';
import { UDP } from '../../src/nat/external-addresses.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { swap16 } from '../../src/wire/bytes.ts';
import { decode } from '../wire/decode.ts';
import { Bed, type BedOptions, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, B, bedWith, connect, portOf, tcp, udp, X, Y } from './nat-bed.ts';
import { forward, nat } from './nat-rule-bed.ts';

const FLOWS = 1024;

/** Flows of the flooder X; how many of them left. */
function flood(bed: Bed, count: number, remote = B): number {
  let left = 0;
  for (let i = 0; i < count; i++) {
    left += to(PUBLIC, bed.out(udp(`${X}:${1024 + (i % 60_000)}`, `${remote}:${1000 + i}`))).length;
  }
  return left;
}

/** Flows that private host `host` has begun. */
function flowsOf(bed: Bed, host: string): number {
  return bed.flows().filter((flow) => flow.original.src === parseAddress(host)!).length;
}

const bedOf = (options: BedOptions = {}) => new Bed({ flows: FLOWS, tap: false, ...options });

describe('the flow table', () => {
  test('the last eighth is not for one who has his share', () => {
    const bed = bedOf();
    expect(flood(bed, FLOWS)).toBe(FLOWS - FLOWS / 8);
    expect(bed.drops).toEqual({ host_share: FLOWS / 8 });
    expect(bed.shortages).toEqual([{ host: X, rule: 0, reason: 'host_share', count: FLOWS / 8 }]);
    bed.checkInvariants();
  });

  test('while X floods, Y begins as many flows as its share is; none of X’s established ones ends', () => {
    const bed = bedOf();
    const established = connect(bed, `${X}:40000`, `${A}:80`);
    const share = FLOWS / 2;
    for (let i = 0; i < share; i++) {
      flood(bed, 4);
      if (i === 0) flood(bed, FLOWS);
      expect(to(PUBLIC, bed.out(udp(`${Y}:${1024 + i}`, `${A}:53`)))).toHaveLength(1);
    }
    expect(flowsOf(bed, Y)).toBe(share);
    expect(to(PRIVATE, bed.in(tcp(`${A}:80`, established, 'A', { seq: 501, ack: 101 })))).toHaveLength(1);
    expect(flowsOf(bed, X)).toBe(FLOWS - share);
    bed.checkInvariants();
  });

  test('a newcomer takes no ASSURED flow, and none of a host that has less', () => {
    const bed = bedOf({ flows: 8 });
    for (let i = 0; i < 8; i++) connect(bed, `${X}:${40_000 + i}`);
    expect(decode(bed.out(udp(`${Y}:1`, `${A}:53`))[0]!.packet)).toMatchObject({ type: 3, code: 13 });
    expect(flowsOf(bed, X)).toBe(8);
    expect(bed.drops).toEqual({ table_full: 1 });
  });

  test('never: the flooder has all', () => {
    const bed = bedOf({ evict: 'never' });
    expect(flood(bed, FLOWS)).toBe(FLOWS);
    expect(to(PUBLIC, bed.out(udp(`${Y}:1`, `${A}:53`)))).toEqual([]);
    expect(bed.drops).toEqual({ table_full: 1 });
  });
});

describe('from outside', () => {
  const toForward = nat({ forwards: [forward({})] });
  const syn = (i: number) => tcp(`203.0.${113 + (i >> 14)}.${i & 63}:${1024 + i}`, `${EXTERNAL}:80`, 'S');
  const attack = (bed: Bed, from: number, count: number) => {
    let got = 0;
    for (let i = from; i < from + count; i++) got += to(PRIVATE, bed.in(syn(i))).length;
    return got;
  };

  test('a flood on a forward leaves half of the table to those inside, and its target loses nothing', () => {
    const bed = bedOf({ nat: toForward });
    attack(bed, 0, FLOWS);
    // Each takes another's place.
    expect(bed.flows()).toHaveLength(FLOWS - FLOWS / 8);
    for (let i = 0; i < FLOWS / 2 - 1; i++) {
      const host = i % 2 === 0 ? X : Y;
      expect(to(PUBLIC, bed.out(udp(`${host}:${1024 + i}`, `${A}:53`))), `flow ${i}`).toHaveLength(1);
      attack(bed, FLOWS + i * 2, 2);
    }
    expect(flowsOf(bed, X) + flowsOf(bed, Y)).toBe(FLOWS / 2 - 1);
    bed.checkInvariants();
  });

  test('it ends no connection that is established, and one that begins among it may become so', () => {
    const bed = bedOf({ nat: toForward });
    const client = '203.0.113.200:5000';
    bed.in(tcp(client, `${EXTERNAL}:80`, 'S', { seq: 100 }));
    bed.out(tcp(`${X}:8080`, client, 'SA', { seq: 500, ack: 101 }));
    bed.in(tcp(client, `${EXTERNAL}:80`, 'A', { seq: 101, ack: 501 }));
    attack(bed, 0, 2 * FLOWS);
    expect(to(PRIVATE, bed.in(tcp(client, `${EXTERNAL}:80`, 'A', { seq: 101, ack: 501 })))).toHaveLength(1);
    const late = '203.0.113.201:5000';
    expect(to(PRIVATE, bed.in(tcp(late, `${EXTERNAL}:80`, 'S', { seq: 100 })))).toHaveLength(1);
    expect(to(PUBLIC, bed.out(tcp(`${X}:8080`, late, 'SA', { seq: 500, ack: 101 })))).toHaveLength(1);
  });
});

describe('ports', () => {
  const ports = { first: 40_000, last: 42_047 };
  test('a host that took all ports towards one remote leaves its share to the others', () => {
    const bed = bedOf({ flows: 65_536, ports, nat: masqueradeAll(ports, { overload: 'never' }) });
    portOf(bed, `${Y}:1`, `${A}:53`);
    let left = 0;
    for (let i = 0; i < 2100; i++) left += to(PUBLIC, bed.out(udp(`${X}:${1024 + i}`, `${A}:53`))).length;
    expect(left).toBe(2048 - 256 - 1);
    for (let i = 0; i < 1023; i++) portOf(bed, `${Y}:${1024 + i}`, `${A}:53`);
    bed.checkInvariants(ports);
  });

  test('nothing ASSURED is taken, nor a port with two flows', () => {
    const few = { first: 40_000, last: 40_003 };
    const bed = bedOf({ ports: few, nat: masqueradeAll(few, { overload: 'never' }) });
    for (let i = 0; i < 4; i++) connect(bed, `${X}:${1000 + i}`);
    expect(to(PUBLIC, bed.out(tcp(`${Y}:1`, `${A}:80`, 'S')))).toEqual([]);
    for (let i = 0; i < 4; i++) portOf(bed, `${X}:${1000 + i}`, `${A}:53`);
    for (let i = 0; i < 4; i++) portOf(bed, `${X}:${1000 + i}`, `${B}:53`);
    expect(to(PUBLIC, bed.out(udp(`${Y}:1`, `${A}:53`)))).toEqual([]);
    expect(bed.drops).toEqual({ no_free_port: 2 });
  });

  test('the last port but one of X goes to Y, and nothing of Y’s to X', () => {
    const few = { first: 40_000, last: 40_003 };
    const bed = bedOf({ ports: few, nat: masqueradeAll(few, { overload: 'never' }) });
    for (let i = 0; i < 4; i++) portOf(bed, `${X}:${1000 + i}`, `${A}:53`);
    portOf(bed, `${Y}:1`, `${A}:53`);
    portOf(bed, `${Y}:2`, `${A}:53`);
    expect([flowsOf(bed, X), flowsOf(bed, Y)]).toEqual([2, 2]);
    expect(to(PUBLIC, bed.out(udp(`${X}:9`, `${A}:53`)))).toEqual([]);
    expect(to(PUBLIC, bed.out(udp(`${Y}:9`, `${A}:53`)))).toEqual([]);
    expect(bed.totals.flows_evicted).toBe(2);
    bed.checkInvariants(few);
  });
});

describe('a flow that makes room for one to its own mapping', () => {
  test('from outside: the mapping lives on with the new one', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' }, { flows: 1 });
    const port = portOf(bed, `${X}:40000`, `${A}:53`);
    expect(to(PRIVATE, bed.in(udp(`${B}:99`, `${EXTERNAL}:${port}`)))).toHaveLength(1);
    expect(bed.flows()).toMatchObject([{ original: { src: parseAddress(B) } }]);
    bed.checkInvariants();
    const { table } = bed.engine.mappings;
    expect(table.find(0, UDP, parseAddress(X)!, swap16(40_000), 0, 0)).toBeGreaterThanOrEqual(0);
    bed.pass(600_000);
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants();
  });

  test('a hairpin whose own port is to be had only by ending the flow that it goes to', () => {
    const ports = { first: 40_000, last: 40_000 };
    const bed = bedWith({ filtering: 'endpoint-independent', overload: 'never' }, { ports, flows: 8 });
    bed.out(udp(`${X}:40000`, `${A}:53`));
    bed.out(udp(`${Y}:40001`, `${EXTERNAL}:40000`));
    bed.checkInvariants(ports);
    bed.pass(600_000);
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants(ports);
  });
});
