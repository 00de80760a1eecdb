/** The internet in memory: hosts, routers, the clock; NATs as far as every one of them is alike. */
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/core/random.ts';
import { NatgateError, readPacket, type VirtualHost, VirtualNetwork } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';

const texts = (socket: { received: { text: string }[] }) => socket.received.map(({ text }) => text);

/** A server that tells everybody how it sees them. */
function mirror(net: VirtualNetwork) {
  return net.host().udp(3478, ({ from }, socket) => socket.send(from, from));
}

describe('UDP', () => {
  test('there and back, in the time that the links take', () => {
    const net = new VirtualNetwork({ latency: 7 });
    const server = mirror(net);
    const client = net.host({ latency: 30 }).udp();
    let answered = 0;
    client.onMessage = () => {
      answered = net.now;
    };
    client.send(server.endpoint, 'hello');
    net.run();
    expect(client.received).toEqual([
      { from: server.endpoint, data: new TextEncoder().encode(client.endpoint), text: client.endpoint },
    ]);
    expect(answered).toBe(2 * (7 + 30));
    expect(net.now).toBe(74);
  });

  test('packets on the wire are whole: checksums, and a TTL that counts down', () => {
    const seen: Uint8Array[] = [];
    const net = new VirtualNetwork({ lose: (packet) => seen.push(packet) < 0 });
    const server = mirror(net);
    net.host({ behind: 'port-restricted cone' }).udp(5000).send(server.endpoint, 'x');
    net.run();
    expect(seen.map((packet) => decode(packet))).toEqual([
      expect.objectContaining({ src: '10.1.0.2', dst: '203.0.113.1', ttl: 64, checksumOk: true }),
      expect.objectContaining({ src: '198.18.1.1', dst: '203.0.113.1', ttl: 63, checksumOk: true }),
      expect.objectContaining({ src: '203.0.113.1', dst: '198.18.1.1', ttl: 64, checksumOk: true }),
      expect.objectContaining({ src: '203.0.113.1', dst: '10.1.0.2', ttl: 62, checksumOk: true }),
    ]);
  });

  test('a closed port is unreachable, an unknown address too; a short TTL does not get there', () => {
    const net = new VirtualNetwork();
    const [host, other] = [net.host(), net.host()];
    const errors: string[] = [];
    host.onIcmpError = (packet) => {
      const { from, type, code } = readPacket(packet);
      errors.push(`${from} ${type}/${code}`);
    };
    const socket = host.udp(1000);
    socket.send(`${other.address}:9`, 'nobody listens');
    socket.send('203.0.113.99:9', 'nobody is there');
    socket.send(`${other.address}:9`, 'short', { ttl: 1 });
    net.run();
    expect(errors.sort()).toEqual(['192.0.2.1 11/0', '192.0.2.1 3/1', `${other.address} 3/3`]);
  });

  test('ports are taken once, freed by close, and found when none is named', () => {
    const net = new VirtualNetwork();
    const host = net.host();
    const first = host.udp(5000);
    expect(() => host.udp(5000)).toThrow(/UDP port 5000 of 203\.0\.113\.1 is in use/);
    first.close();
    expect(() => first.send('203.0.113.9:1', 'x')).toThrow(NatgateError);
    host.udp(5000);
    expect([host.udp().endpoint, host.udp().endpoint]).toEqual(['203.0.113.1:49152', '203.0.113.1:49153']);
  });

  test('what cannot be sent is refused', () => {
    const socket = new VirtualNetwork().host().udp();
    expect(() => socket.send('203.0.113.1', 'x')).toThrow(/not an endpoint/);
    expect(() => socket.send('203.0.113.1:1', new Uint8Array(1473))).toThrow(/1473 bytes/);
  });
});

describe('TCP', () => {
  /** A connection to an echo server on `there`. */
  function connect(here: VirtualHost, there: VirtualHost) {
    const ends: string[] = [];
    there.listen(80, (connection) => {
      connection.onData = (data) => connection.send(data);
      connection.onEnd = (end) => ends.push(`server ${end}`);
    });
    const connection = here.connect(`${there.address}:80`);
    connection.onEnd = (end) => ends.push(`client ${end}`);
    return { connection, ends };
  }

  test.each([
    ['directly', undefined],
    ['through a NAT', 'port-restricted cone' as const],
  ])('connect, talk, close: %s', (_, behind) => {
    const net = new VirtualNetwork();
    const client = net.host(behind === undefined ? {} : { behind });
    const { connection, ends } = connect(client, net.host());
    connection.send('hello, ');
    connection.send('world');
    net.run();
    expect([connection.state, connection.text]).toEqual(['ESTABLISHED', 'hello, world']);
    connection.close();
    net.run();
    expect(connection.state).toBe('TIME_WAIT');
    expect(ends).toEqual(['client closed', 'server closed']);
  });

  test.each([1, 2, 3])('much data, in order, though one in twenty packets is lost: seed %i', (seed) => {
    const random = new Random(seed);
    const net = new VirtualNetwork({ lose: () => random.next() >>> 0 < 2 ** 32 / 20 });
    const { connection } = connect(net.host({ behind: 'port-restricted cone' }), net.host());
    const text = Array.from({ length: 20_000 }, (_, i) => String(i)).join(' ');
    connection.send(text);
    net.run();
    expect(connection.text.length).toBe(text.length);
    expect(connection.text).toBe(text);
  });

  test('refused, reset, without an answer', () => {
    const net = new VirtualNetwork();
    const [host, other] = [net.host(), net.host()];
    const refused = host.connect(`${other.address}:81`);
    net.run();
    expect(refused.end).toBe('refused');
    expect(net.now).toBe(40);

    const { connection, ends } = connect(host, other);
    net.run();
    connection.abort();
    net.run();
    expect(ends).toEqual(['client reset', 'server reset']);

    const lost = host.connect('203.0.113.99:80');
    net.run();
    expect(lost.end).toBe('timed out');
    expect(net.now).toBeGreaterThan(60_000);
  });

  test('both connect at once and meet in the middle', () => {
    const lines: string[] = [];
    const net = new VirtualNetwork({ trace: (line) => lines.push(line.replace(/ length.*/, '')) });
    const [a, b] = [net.host(), net.host()];
    const one = a.connect(`${b.address}:7`, 7);
    const two = b.connect(`${a.address}:7`, 7);
    one.send('from a');
    two.send('from b');
    net.run();
    expect([one.text, two.text]).toEqual(['from b', 'from a']);
    expect(lines.slice(0, 4)).toEqual([
      '0 ms tcp S 203.0.113.1:7 > 203.0.113.2:7 ttl 64',
      '0 ms tcp S 203.0.113.2:7 > 203.0.113.1:7 ttl 64',
      '20 ms tcp SA 203.0.113.2:7 > 203.0.113.1:7 ttl 64',
      '20 ms tcp SA 203.0.113.1:7 > 203.0.113.2:7 ttl 64',
    ]);
    expect(() => a.connect(`${b.address}:7`, 7)).toThrow(/is in use/);
  });

  test('a port connects and listens at the same time; when a connection is over its ports may be used again', () => {
    const net = new VirtualNetwork();
    const [a, b] = [net.host(), net.host()];
    const accepted: string[] = [];
    b.listen(7, ({ remote }) => accepted.push(remote));
    a.listen(7, ({ remote }) => accepted.push(remote));
    for (const round of [1, 2]) {
      const connection = a.connect(`${b.address}:7`, 7);
      net.run();
      expect(connection.established, `round ${round}`).toBe(true);
      connection.close();
      net.run();
    }
    expect(accepted).toEqual([`${a.address}:7`, `${a.address}:7`]);
    expect(() => b.listen(7, () => {})).toThrow(/TCP port 7/);
  });
});

describe('the clock', () => {
  test('run(ms) lets so much pass; run() all that is under way', () => {
    const net = new VirtualNetwork();
    const fired: number[] = [];
    net.after(50, () => fired.push(net.now));
    const cancel = net.after(20, () => fired.push(net.now));
    net.after(10, () => net.after(5, () => fired.push(net.now)));
    cancel();
    net.run(30);
    expect([net.now, fired]).toEqual([30, [15]]);
    net.run();
    expect([net.now, fired]).toEqual([50, [15, 50]]);
    net.run();
    expect(net.now).toBe(50);
  });

  test('what never ends is an error, not a hang', () => {
    const net = new VirtualNetwork();
    const again = () => {
      net.after(1, again);
    };
    again();
    expect(() => net.run()).toThrow(/there is no end/);
  });

  test('NATs forget: a hole closes after its time', () => {
    const net = new VirtualNetwork();
    const server = net.host().udp(1000);
    const nat = net.nat('port-restricted cone');
    const peer = net.host({ behind: nat }).udp(5000);
    peer.send(server.endpoint, 'open');
    net.run(1000);
    const { from } = server.received[0]!;
    server.send(from, 'early');
    net.run(400_000);
    server.send(from, 'late');
    net.run();
    expect(texts(peer)).toEqual(['early']);
    expect(nat.gateway.flows()).toEqual([]);
    expect(nat.gateway.drops()).toEqual({ no_flow: 1 });
  });
});

describe('places', () => {
  test('hosts of one LAN talk without their NAT, and look alike from outside', () => {
    const net = new VirtualNetwork();
    const server = mirror(net);
    const nat = net.nat('port-restricted cone', { inside: '192.168.1.1/24' });
    const [a, b] = [net.host({ behind: nat }).udp(5000), net.host({ behind: nat }).udp(5000)];
    expect([a.endpoint, b.endpoint]).toEqual(['192.168.1.2:5000', '192.168.1.3:5000']);
    a.send(b.endpoint, 'neighbour');
    net.run();
    expect(texts(b)).toEqual(['neighbour']);
    expect(nat.gateway.flows()).toEqual([]);
    for (const peer of [a, b]) peer.send(server.endpoint, '?');
    net.run();
    const seen = [a, b].map((peer) => peer.received.at(-1)!.text.split(':'));
    expect(seen.map(([address]) => address)).toEqual([nat.address, nat.address]);
    expect(seen[0]![1]).not.toBe(seen[1]![1]);
  });

  test('a NAT behind a NAT', () => {
    const net = new VirtualNetwork();
    const server = mirror(net);
    const outer = net.nat('port-restricted cone');
    const inner = net.nat('port-restricted cone', { behind: outer });
    expect([outer.address, inner.address]).toEqual(['198.18.1.1', '10.1.0.2']);
    const peer = net.host({ behind: inner }).udp(5000);
    peer.send(server.endpoint, '?');
    net.run();
    expect(peer.received[0]!.text).toMatch(/^198\.18\.1\.1:/);
    expect([outer.gateway.flows().length, inner.gateway.flows().length]).toEqual([1, 1]);
  });

  test('a packet to a NAT itself goes nowhere', () => {
    const net = new VirtualNetwork();
    const nat = net.nat('port-restricted cone');
    const peer = net.host({ behind: nat });
    for (const from of [net.host(), peer]) {
      from.udp().send(`${nat.address}:80`, 'x');
      from.udp().send(`${nat.address}:50000`, 'x');
    }
    net.run();
    expect(nat.gateway.flows()).toEqual([]);
  });

  test('a run repeats, and another seed is another run', () => {
    const run = (seed: number) => {
      const lines: string[] = [];
      const net = new VirtualNetwork({ seed, trace: (line) => lines.push(line) });
      const server = mirror(net);
      const nat = net.nat('port-restricted cone');
      for (let i = 0; i < 5; i++) net.host({ behind: nat }).udp(5000).send(server.endpoint, 'x');
      net.run();
      return lines;
    };
    expect(run(3)).toEqual(run(3));
    expect(run(3)).not.toEqual(run(4));
  });
});
