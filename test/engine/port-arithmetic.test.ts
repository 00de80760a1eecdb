/**
 * docs/port-arithmetic.md: how long a port is bound to one use decides how many uses a second a range can bear. Measured on 256
 * ports with the default timers: just below the rate nothing runs short, just above it the first way out is taken.
 */
import { expect, test } from 'vitest';
import { decode } from '../wire/decode.ts';
import { type Bed, EXTERNAL, PUBLIC } from './bed.ts';
import { A, B, bedWith, only, tcp, udp, X } from './nat-bed.ts';

const ports = { first: 40000, last: 40255 };
const N = 256;

type Use = (bed: Bed, port: number, remote: string) => void;

const connection: Use = (bed, port, remote) => {
  const from = `${X}:${port}`;
  const out = only(PUBLIC, bed.out(tcp(from, `${remote}:80`, 'S', { seq: port * 100_000 })));
  const external = `${EXTERNAL}:${out.sport}`;
  const seq = port * 100_000 + 1;
  bed.in(tcp(`${remote}:80`, external, 'SA', { seq: 500, ack: seq }));
  bed.out(tcp(from, `${remote}:80`, 'FA', { seq, ack: 501 }));
  bed.in(tcp(`${remote}:80`, external, 'FA', { seq: 501, ack: seq + 1 }));
  bed.out(tcp(from, `${remote}:80`, 'A', { seq: seq + 1, ack: 502 }));
};
const unanswered: Use = (bed, port, remote) => {
  bed.out(tcp(`${X}:${port}`, `${remote}:80`, 'S', { seq: 1 }));
};
const datagram: Use = (bed, port, remote) => {
  bed.out(udp(`${X}:${port}`, `${remote}:4000`));
};
const question: Use = (bed, port, remote) => {
  const out = bed.out(udp(`${X}:${port}`, `${remote}:53`))[0]!;
  bed.in(udp(`${remote}:53`, `${EXTERNAL}:${decode(out.packet).sport}`));
};

/** So many uses a second, each from a new internal port, all to one remote; how often each way out was taken. */
function load(use: Use, perSecond: number, seconds: number) {
  const bed = bedWith({}, { ports, flows: 4096 });
  let due = 0;
  let port = 1024;
  for (let second = 0; second < seconds; second++) {
    for (due += perSecond; due >= 1; due--) use(bed, port++, A);
    bed.pass(1000);
  }
  const { ports_recycled, ports_quarantine_cut, ports_overloaded } = bed.totals;
  return { ports_recycled, ports_quarantine_cut, ports_overloaded, drops: bed.drops };
}

const NOTHING = { ports_recycled: 0, ports_quarantine_cut: 0, ports_overloaded: 0, drops: {} };

test.each<[string, Use, number, string]>([
  ['TCP, closed: 240 s', connection, 240, 'ports_recycled'],
  ['TCP, unanswered: 240 s and 120 s of quarantine', unanswered, 360, 'ports_quarantine_cut'],
  ['UDP: 300 s and 120 s of quarantine', datagram, 420, 'ports_quarantine_cut'],
  ['DNS: 10 s and 120 s of quarantine', question, 130, 'ports_quarantine_cut'],
])('%s for a port', (_, use, bound, first) => {
  // Expiry takes some seconds: the wheel looks once a second, and ports come back with the next tick.
  const seconds = bound * 3;
  expect(load(use, N / (bound * 1.05), seconds)).toEqual(NOTHING);
  const above = load(use, N / (bound * 0.9), seconds);
  expect(above).toMatchObject({ [first]: expect.toSatisfy((count: number) => count > 0), drops: {} });
  expect(above).toMatchObject({ ports_overloaded: 0 });
});

test('TCP beyond: with connections that are over making room, as many as are open at once', () => {
  expect(load(connection, 50, 60)).toMatchObject({ ports_overloaded: 0, drops: {} });
});

test('UDP beyond: N flows towards one remote endpoint, N more towards each other one', () => {
  const bed = bedWith({}, { ports, flows: 4096 });
  let port = 1024;
  for (let i = 0; i < N; i++) datagram(bed, port++, A);
  expect(bed.totals).toMatchObject({ ports_overloaded: 0, flows_udp: N });
  datagram(bed, port++, A);
  expect(bed.drops).toEqual({ no_free_port: 1 });
  for (let i = 0; i < N / 2; i++) datagram(bed, port++, B);
  expect(bed.totals).toMatchObject({ ports_overloaded: N / 2, flows_udp: N + N / 2 });
  expect(bed.drops).toEqual({ no_free_port: 1 });
});

test('a refused connection binds no port', () => {
  const bed = bedWith({}, { ports, flows: 4096 });
  for (let i = 0; i < 4 * N; i++) {
    const out = only(PUBLIC, bed.out(tcp(`${X}:${1024 + i}`, `${A}:80`, 'S', { seq: 1 })));
    bed.in(tcp(`${A}:80`, `${EXTERNAL}:${out.sport}`, 'RA', { seq: 0, ack: 2 }));
  }
  expect(bed.totals).toMatchObject({ ports_recycled: 0, ports_quarantine_cut: 0, ports_tcp: 0 });
});
