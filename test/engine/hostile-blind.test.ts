/**
 * Who is off the path guesses: RSTs and SYNs (RFC 5961), data, ICMP errors (RFC 5927) against a connection of X:40000 to A:80.
 * Initial sequence numbers 100 and 500; the client has sent nothing yet, the server nothing.
 */
import { describe, expect, test } from 'vitest';
import { icmpError } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, connect, tcp, X } from './nat-bed.ts';

const SERVER = `${A}:80`;
const CLIENT = `${X}:40000`;

function state(bed: Bed): object {
  const { state, timeoutSeconds } = bed.flows()[0]!;
  return { state, timeoutSeconds };
}

/** A connection, through which 1000 bytes went each way, all but the server's last 400 acknowledged. */
function established(): { bed: Bed; external: string } {
  const bed = new Bed();
  const external = connect(bed);
  bed.out(tcp(CLIENT, SERVER, 'PA', { seq: 101, ack: 501, payload: 'x'.repeat(1000) }));
  bed.in(tcp(SERVER, external, 'PA', { seq: 501, ack: 1101, payload: 'y'.repeat(1000) }));
  bed.out(tcp(CLIENT, SERVER, 'A', { seq: 1101, ack: 1101 }));
  bed.in(tcp(SERVER, external, 'A', { seq: 1501, ack: 1101 }));
  return { bed, external };
}

describe('a RST from outside', () => {
  test('with the number that the client expects ends the connection', () => {
    const { bed, external } = established();
    expect(to(PRIVATE, bed.in(tcp(SERVER, external, 'R', { seq: 1101 })))).toHaveLength(1);
    expect(state(bed)).toMatchObject({ state: 'CLOSE' });
  });

  test('elsewhere in the window passes, to be challenged; with the challenge all is as before', () => {
    const { bed, external } = established();
    const before = state(bed);
    for (const seq of [1102, 1200, 1400, 5000]) bed.in(tcp(SERVER, external, 'R', { seq }));
    // Had nobody answered, the connection would be over in four minutes, as the RST says.
    expect(state(bed)).toEqual({ state: 'ESTABLISHED', timeoutSeconds: 240 });
    expect(to(PUBLIC, bed.out(tcp(CLIENT, SERVER, 'A', { seq: 1101, ack: 1101 })))).toHaveLength(1);
    expect(state(bed)).toEqual(before);
  });

  test('outside the window, or before what is acknowledged, is dropped', () => {
    const { bed, external } = established();
    const before = state(bed);
    for (const seq of [1, 600, 1100, 0x40000000, -0x40000000]) {
      expect(bed.in(tcp(SERVER, external, 'R', { seq }))).toEqual([]);
    }
    expect(bed.drops).toEqual({ invalid_rst: 4, invalid_window: 1 });
    expect(state(bed)).toEqual(before);
  });
});

test('a SYN from outside passes, to be challenged, and changes nothing', () => {
  const { bed, external } = established();
  const before = state(bed);
  for (const seq of [1, 1101, 0x40000000]) bed.in(tcp(SERVER, external, 'S', { seq }));
  expect(state(bed)).toEqual(before);
  expect(to(PUBLIC, bed.out(tcp(CLIENT, SERVER, 'A', { seq: 1101, ack: 1101 })))).toHaveLength(1);
});

test('data with a number or an acknowledgement that cannot be is dropped', () => {
  const { bed, external } = established();
  const inject = (seq: number, ack: number) =>
    to(PRIVATE, bed.in(tcp(SERVER, external, 'PA', { seq, ack, payload: 'evil' }))).length;
  // It acknowledges what was never sent.
  expect(inject(1101, 1102)).toBe(0);
  expect(inject(1101, 0x40000000)).toBe(0);
  // It lies beyond what the client has room for.
  expect(inject(0x30000000, 1101)).toBe(0);
  expect(bed.drops).toEqual({ invalid_window: 3 });
});

describe('an ICMP error from outside', () => {
  const about = (bed: Bed, seq: number, type: number, code: number, fields = {}) => {
    const quoted = tcp(`${EXTERNAL}:40000`, SERVER, 'A', { seq, ack: 1 });
    return bed.in(icmpError({ from: '192.0.2.1', to: EXTERNAL, type, code, packet: quoted, ...fields }));
  };
  /** 1000 bytes from 1101 on are under way. */
  const sending = () => {
    const { bed } = established();
    bed.out(tcp(CLIENT, SERVER, 'PA', { seq: 1101, ack: 1101, payload: 'z'.repeat(1000) }));
    return bed;
  };

  test.each([
    [3, 0],
    [3, 1],
    [3, 2],
    [3, 3],
    [3, 4],
    [11, 0],
    [12, 0],
  ])('%i/%i: passes about what is under way only', (type, code) => {
    const bed = sending();
    for (const seq of [1101, 1500, 2101]) expect(about(bed, seq, type, code)).toHaveLength(1);
    for (const seq of [101, 1100, 2102, 0x40000000, -1]) expect(about(bed, seq, type, code)).toEqual([]);
    expect(bed.drops).toEqual({ quote_out_of_window: 5 });
  });

  test('the MTU that a forged 3/4 announces, however small, never comes in', () => {
    const bed = sending();
    for (const rest of [0, 67, 68, 552]) expect(about(bed, 1, 3, 4, { rest })).toEqual([]);
    const [passed] = about(bed, 1101, 3, 4, { rest: 1280 });
    expect(decode(passed!.packet)).toMatchObject({ type: 3, code: 4, dst: X });
  });

  test('about a SYN: its number is the one', () => {
    const bed = new Bed();
    bed.out(tcp(CLIENT, SERVER, 'S', { seq: 100_000 }));
    expect(about(bed, 100_000, 3, 1)).toHaveLength(1);
    expect(about(bed, 100_002, 3, 1)).toEqual([]);
    expect(about(bed, 50_000, 3, 1)).toEqual([]);
  });

  test('about a connection that was picked up from its middle all pass', () => {
    const bed = new Bed();
    bed.out(tcp(CLIENT, SERVER, 'A', { seq: 7_000_000, ack: 5 }));
    expect(about(bed, 1, 3, 1)).toHaveLength(1);
  });
});

test('an ICMP error from inside, about a segment that the server has not sent, is dropped', () => {
  const { bed } = established();
  const about = (seq: number) => {
    const quoted = tcp(SERVER, CLIENT, 'A', { seq, ack: 1 });
    return to(PUBLIC, bed.out(icmpError({ from: X, to: A, type: 3, code: 3, packet: quoted })));
  };
  expect(about(1200)).toHaveLength(1);
  expect(about(600)).toEqual([]);
  expect(about(1502)).toEqual([]);
  expect(bed.drops).toEqual({ quote_out_of_window: 2 });
});
