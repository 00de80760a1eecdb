/** NATs by name do what theory says: who reaches whom by hole punching, with UDP and with TCP. */
import { describe, expect, test } from 'vitest';
import { type NatName, namedNats, type VirtualHost, VirtualNetwork } from '../../src/testing/index.ts';

const kinds = Object.keys(namedNats) as NatName[];

/**
 * What a NAT comes to for its peers. A mapping that nobody else can know (symmetric) is no use unless the other side lets
 * packets in from a port that it has not sent to.
 */
const hides = (kind: NatName) => kind === 'symmetric';
const needsPort = (kind: NatName) => kind === 'symmetric' || kind === 'port-restricted cone';
const works = (a: NatName, b: NatName) => !(hides(a) && needsPort(b)) && !(hides(b) && needsPort(a));

const pairs = kinds.flatMap((a) => kinds.map((b) => [a, b] as const));

function mirror(net: VirtualNetwork) {
  return net.host().udp(3478, ({ from }, socket) => socket.send(from, from));
}

/** Whether two hosts hear each other over UDP after both have sent to where a server saw the other. */
function punchUdp(net: VirtualNetwork, hosts: [VirtualHost, VirtualHost]): boolean {
  const server = mirror(net);
  const peers = hosts.map((host) => host.udp(5000));
  for (const peer of peers) peer.send(server.endpoint, '?');
  net.run();
  const seen = peers.map((peer) => peer.received.pop()!.text);
  for (const peer of peers) peer.onMessage = ({ from, text }) => text === 'hi' && peer.send(from, 'answer');
  for (let round = 0; round < 3; round++) {
    peers.forEach((peer, i) => {
      peer.send(seen[1 - i]!, 'hi');
    });
    net.run();
  }
  return peers.every((peer) => peer.received.length > 0);
}

/** The same with TCP: a connection to a server shows where each is seen, then both connect to the other at once. */
function punchTcp(net: VirtualNetwork, hosts: [VirtualHost, VirtualHost]): boolean {
  const server = net.host();
  server.listen(3478, (connection) => connection.send(connection.remote));
  const known = hosts.map((host) => host.connect(`${server.address}:3478`, 5000));
  net.run();
  const peers = hosts.map((host, i) => host.connect(known[1 - i]!.text, 5000));
  for (const peer of peers) peer.send('hi');
  net.run();
  return peers.every(({ established, text }) => established && text === 'hi');
}

describe('UDP hole punching', () => {
  test.each(pairs)('%s × %s', (a, b) => {
    const net = new VirtualNetwork();
    expect(punchUdp(net, [net.host({ behind: a }), net.host({ behind: b })])).toBe(works(a, b));
  });

  test.each(kinds)('%s × no NAT', (kind) => {
    const net = new VirtualNetwork();
    expect(punchUdp(net, [net.host({ behind: kind }), net.host()])).toBe(true);
  });

  test.each(kinds.filter((kind) => !hides(kind)))('two hosts behind one, by hairpin: %s', (kind) => {
    const net = new VirtualNetwork();
    const nat = net.nat(kind);
    expect(punchUdp(net, [net.host({ behind: nat }), net.host({ behind: nat })])).toBe(true);
  });

  test('a home router behind a carrier-grade NAT is what the router is', () => {
    const net = new VirtualNetwork();
    const behind = () => net.host({ behind: net.nat('port-restricted cone', { behind: 'carrier-grade' }) });
    expect(punchUdp(net, [behind(), behind()])).toBe(true);
    expect(punchUdp(net, [behind(), net.host({ behind: 'symmetric' })])).toBe(false);
  });
});

describe('TCP simultaneous open', () => {
  test.each(pairs.filter(([a, b]) => !hides(a) && !hides(b)))('%s × %s', (a, b) => {
    const net = new VirtualNetwork();
    expect(punchTcp(net, [net.host({ behind: a }), net.host({ behind: b })])).toBe(true);
  });

  test('symmetric × symmetric fails', () => {
    const net = new VirtualNetwork();
    expect(punchTcp(net, [net.host({ behind: 'symmetric' }), net.host({ behind: 'symmetric' })])).toBe(false);
  });
});

describe('each by itself', () => {
  /** The endpoints by which two servers, the second with two ports, see one socket. */
  function mapped(kind: NatName): string[] {
    const net = new VirtualNetwork();
    const [one, two] = [net.host(), net.host()];
    const servers = [one.udp(1000), two.udp(1000), two.udp(2000)];
    const peer = net.host({ behind: kind }).udp(5000);
    for (const server of servers) peer.send(server.endpoint, 'x');
    net.run();
    return servers.map(({ received }) => received[0]!.from);
  }

  /** Who gets in through the mapping that a packet to `friend:1000` has made. */
  function admitted(kind: NatName): string[] {
    const net = new VirtualNetwork();
    const [friend, stranger] = [net.host(), net.host()];
    const sockets = {
      friend: friend.udp(1000),
      'other port': friend.udp(2000),
      stranger: stranger.udp(1000),
    };
    const peer = net.host({ behind: kind }).udp(5000);
    peer.send(sockets.friend.endpoint, 'x');
    net.run();
    for (const [name, socket] of Object.entries(sockets)) socket.send(sockets.friend.received[0]!.from, name);
    net.run();
    return peer.received.map(({ text }) => text);
  }

  test.each(kinds)('mapping: %s', (kind) => {
    expect(new Set(mapped(kind)).size).toBe(hides(kind) ? 3 : 1);
  });

  test.each<[NatName, string[]]>([
    ['full cone', ['friend', 'other port', 'stranger']],
    ['restricted cone', ['friend', 'other port']],
    ['port-restricted cone', ['friend']],
    ['symmetric', ['friend']],
    ['carrier-grade', ['friend', 'other port', 'stranger']],
  ])('filtering: %s lets in %j', (kind, who) => {
    expect(admitted(kind)).toEqual(who);
  });

  test('carrier-grade: a pool of addresses, one for all that a subscriber does, ports in one block', () => {
    const net = new VirtualNetwork();
    const server = net.host().udp(1000);
    const nat = net.nat('carrier-grade');
    const [one, two] = [net.host({ behind: nat }), net.host({ behind: nat })];
    for (const host of [one, two]) {
      for (let i = 0; i < 20; i++) host.udp().send(server.endpoint, host.address);
    }
    net.run();
    for (const host of [one, two]) {
      const seen = server.received
        .filter(({ text }) => text === host.address)
        .map(({ from }) => from.split(':'));
      expect(seen).toHaveLength(20);
      expect(new Set(seen.map(([address]) => address)).size).toBe(1);
      expect(seen[0]![0]).toMatch(/^198\.18\.1\.[2-5]$/);
      expect(new Set(seen.map(([, port]) => (Number(port) - 1024) >> 9)).size).toBe(1);
    }
  });

  test('a behaviour may be changed', () => {
    const net = new VirtualNetwork();
    const server = mirror(net);
    const nat = net.nat('symmetric', { behaviour: { mapping: 'endpoint-independent', ports: 'preserve' } });
    const peer = net.host({ behind: nat }).udp(5000);
    peer.send(server.endpoint, '?');
    net.run();
    expect(peer.received[0]!.text).toBe(`${nat.address}:5000`);
  });
});
