/** Transfers through NATs over bad wires: what arrives is what was sent, or the connection ends. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Faults,
  type NatName,
  namedNats,
  type TcpConnection,
  VirtualNetwork,
} from '../../src/testing/index.ts';

const bad: Faults = { loss: 0.02, duplicate: 0.02, reorder: 0.02, corrupt: 0.02, truncate: 0.01, jitter: 4 };
const SIZE = 40_000;
const SEEDS = 25;
const names = Object.keys(namedNats) as NatName[];

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 17) & 0xff);
}

/** Both ends send, and close when they have heard all; what each has received, and how it ended. */
function transfer(net: VirtualNetwork, nat: NatName) {
  const sent = pattern(SIZE);
  const ends: { connection: TcpConnection; received: number[] }[] = [];
  const join = (connection: TcpConnection) => {
    const end = { connection, received: [] as number[] };
    ends.push(end);
    connection.onData = (data) => {
      end.received.push(...data);
      if (ends[1] !== undefined && ends.every(({ received }) => received.length >= SIZE)) connection.close();
    };
    connection.send(sent);
  };
  const server = net.host();
  server.listen(80, join);
  join(net.host({ behind: nat }).connect(`${server.address}:80`));
  net.run();
  return { ends, sent };
}

describe('over bad wires', () => {
  test('transfers arrive whole or end: never another byte', () => {
    let whole = 0;
    const seeds = fc.integer({ min: 1, max: 2 ** 30 });
    fc.assert(
      fc.property(seeds, fc.constantFrom(...names), (seed, nat) => {
        const { ends, sent } = transfer(new VirtualNetwork({ seed, faults: bad }), nat);
        for (const { received } of ends) {
          expect(received.length).toBeLessThanOrEqual(SIZE);
          expect(Buffer.from(received).equals(sent.subarray(0, received.length))).toBe(true);
        }
        if (ends.length === 2 && ends.every(({ received }) => received.length === SIZE)) whole++;
        else expect(ends.some(({ connection }) => connection.end !== '')).toBe(true);
      }),
      { numRuns: SEEDS },
    );
    // Not only by ending at once.
    expect(whole).toBeGreaterThan(SEEDS / 2);
  });

  test('a seed repeats a run packet by packet', () => {
    const run = (seed: number) => {
      const lines: string[] = [];
      transfer(new VirtualNetwork({ seed, faults: bad, trace: (line) => lines.push(line) }), 'symmetric');
      return lines;
    };
    expect(run(5)).toEqual(run(5));
    expect(run(6)).not.toEqual(run(5));
  });

  test('one way only, and of one link only', () => {
    const net = new VirtualNetwork();
    const server = net.host();
    const heard: string[] = [];
    const open = server.udp(7, ({ from, text }, socket) => {
      heard.push(text);
      socket.send(from, text);
    });
    const deaf = net.host({ behind: 'full cone', faults: { receives: { loss: 1 } } }).udp();
    const mute = net.host({ behind: 'full cone', faults: { sends: { loss: 1 } } }).udp();
    const well = net.host({ behind: net.nat('full cone', { faults: { sends: { duplicate: 1 } } }) }).udp();
    for (const [socket, text] of [
      [deaf, 'deaf'],
      [mute, 'mute'],
      [well, 'well'],
    ] as const) {
      socket.send(open.endpoint, text);
    }
    net.run();
    expect(heard.sort()).toEqual(['deaf', 'well', 'well']);
    expect([deaf, mute, well].map(({ received }) => received.length)).toEqual([0, 0, 2]);
  });

  test('damage is dropped by the host, or by the NAT for what it verifies; and it can be mended', () => {
    const net = new VirtualNetwork({ faults: { corrupt: 1 } });
    const server = net.host().udp(7, ({ from, text }, socket) => socket.send(from, text));
    const nat = net.nat('restricted cone');
    const client = net.host({ behind: nat }).udp();
    for (let i = 0; i < 200; i++) client.send(server.endpoint, 'x');
    net.run();
    expect(server.received).toEqual([]);
    expect(nat.gateway.drops()['bad_header_checksum']).toBeGreaterThan(0);
    net.setFaults(null);
    client.send(server.endpoint, 'whole');
    net.run();
    expect(client.received.map(({ text }) => text)).toEqual(['whole']);
  });
});
