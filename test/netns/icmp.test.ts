/** Ping, traceroute and ICMP errors through the gateway. */
import { describe, expect, it } from 'vitest';
import { type Agent, IP_HDRINCL, IP_RECVERR, SOL_IP } from './support/agent.ts';
import { addBeyond, BEYOND } from './support/beyond.ts';
import { useGateway } from './support/fixture.ts';
import { ICMP, icmp, parseIpv4, ports, TCP, transportChecksumOk, UDP } from './support/packets.ts';
import { run, sleep } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import {
  CLIENT,
  GATEWAY_PRIVATE,
  GATEWAY_PUBLIC,
  ip,
  Namespace,
  SERVER,
  SERVER_2,
} from './support/topology.ts';

/** What the client should see of an ICMP error, besides its being an ICMP error. */
interface Expected {
  type: number;
  code: number;
  protocol: number;
}

describe('ping through the gateway', () => {
  const net = useGateway();

  it.each([0, 56, 1472, 1473, 8000, 65507])('answers an echo request of %i bytes', async (size) => {
    const { stdout } = await net.topology.client.exec(`ping -c 3 -i 0.2 -W 3 -M dont -s ${size} ${SERVER}`);
    expect(stdout).toContain('3 packets transmitted, 3 received, 0% packet loss');
  });

  it('keeps apart two clients that ping with the same identifier', async () => {
    const { client } = net.topology;
    // A host of its own: ping sees what is for others on its host until its socket is bound.
    const second = new Namespace(`${client.name}-second`);
    net.topology.extra.push(second);
    await run(['ip', 'netns', 'add', second.name]);
    await ip(client, `link add link c0 name m0 netns ${second.name} type macvlan mode bridge`);
    await ip(second, 'addr add 10.77.0.3/24 dev m0');
    await ip(second, 'link set m0 up');
    await ip(second, `route add default via ${GATEWAY_PRIVATE}`);
    const pings = [client, second].map((ns) => ns.exec(`ping -c 5 -i 0.2 -W 3 -e 4242 ${SERVER}`));
    for (const { stdout } of await Promise.all(pings)) {
      expect(stdout).toContain('5 packets transmitted, 5 received, 0% packet loss');
    }
  });

  it('answers a flood of 2000 without a loss', async () => {
    const { stdout } = await net.topology.client.exec(`ping -q -f -c 2000 ${SERVER}`, { timeoutMs: 60_000 });
    expect(stdout).toContain('2000 packets transmitted, 2000 received, 0% packet loss');
  });

  it('reaches the gateway itself, on both its addresses', async () => {
    for (const address of [GATEWAY_PRIVATE, GATEWAY_PUBLIC]) {
      const { stdout } = await net.topology.client.exec(`ping -c 2 -i 0.2 -W 3 ${address}`);
      expect(stdout).toContain('2 received');
    }
  });
});

describe('traceroute through the gateway', () => {
  const net = useGateway({ before: async ({ topology }) => void (await addBeyond(topology)) });
  const hops = (output: string) =>
    output
      .split('\n')
      .slice(1)
      .filter(Boolean)
      .map((line) => line.trim().split(/\s+/)[1]);

  it.each([['-U'], ['-I'], ['-T'], ['']])(
    'shows the gateway and all that lies behind it (%s)',
    async (method) => {
      const argv = `traceroute -n -w 3 -q 1 -N 1 ${method} ${BEYOND}`.replace('  ', ' ');
      const { stdout } = await net.topology.client.exec(argv, { timeoutMs: 60_000 });
      expect(hops(stdout)).toEqual([GATEWAY_PRIVATE, SERVER, BEYOND]);
    },
  );

  it('quotes the packet of the client in a time exceeded from beyond', async () => {
    const capture = await sniff(net.topology.client, 'c0', { filter: 'icmp' });
    const { stdout } = await net.topology.client.exec(`ping -c 1 -W 2 -t 2 ${BEYOND}`, { check: false });
    expect(stdout).toContain(`From ${SERVER} icmp_seq=1 Time to live exceeded`);
    const error = (await capture.stop())
      .map((packet) => packet.ip!)
      .find((packet) => packet.payload[0] === 11)!;
    expect(error).toMatchObject({ src: SERVER, dst: CLIENT, headerChecksumOk: true });
    expect(transportChecksumOk(error)).toBe(true);
    const quote = parseIpv4(error.payload.subarray(8))!;
    expect(quote).toMatchObject({ src: CLIENT, dst: BEYOND, protocol: ICMP });
  });

  it('quotes it in its own time exceeded as the client sent it', async () => {
    const capture = await sniff(net.topology.client, 'c0', { filter: 'icmp or udp' });
    const socket = await net.client.udp([CLIENT, 47100]);
    await socket.option(SOL_IP, 2 /* IP_TTL */, 1);
    await socket.sendTo(Buffer.from('dies at the gateway'), [BEYOND, 33434]);
    const packets = (await capture.stop()).map((packet) => packet.ip!);
    const sent = packets.find((packet) => packet.protocol === UDP)!;
    const error = packets.find((packet) => packet.protocol === ICMP)!;
    expect(error).toMatchObject({ src: GATEWAY_PRIVATE, dst: CLIENT, headerChecksumOk: true });
    expect([...error.payload.subarray(0, 2)]).toEqual([11, 0]);
    expect(transportChecksumOk(error)).toBe(true);
    // Byte for byte, the header's TTL and checksum included or as decremented: both are seen in the wild.
    const quote = error.payload.subarray(8);
    expect(parseIpv4(quote)).toMatchObject({ src: CLIENT, dst: BEYOND, id: sent.id });
    expect(quote.subarray(20, 28)).toEqual(sent.bytes.subarray(20, 28));
    await socket.close();
  });
});

describe('ICMP errors from outside', () => {
  const net = useGateway({
    // A quote is compared with what the client sent: its checksum must be complete when the capture sees it.
    before: async ({ topology }) => void (await topology.client.exec('ethtool -K c0 tx off')),
  });

  /** Lets a router on the way (SERVER_2) answer the packet that `trigger` makes the client send. */
  async function answerWithError(
    expected: Expected,
    trigger: (client: Agent) => Promise<unknown>,
    rest = 0,
  ): Promise<{ sent: Buffer; error: Buffer }> {
    const outgoing = await sniff(net.topology.client, 'c0', { direction: 'out', filter: 'ip' });
    const arriving = await sniff(net.topology.server, 's0', { direction: 'in', filter: 'ip' });
    await trigger(net.client);
    const sent = (await outgoing.stop())[0]!.ip!;
    const translated = (await arriving.stop())[0]!.ip!;
    expect(translated).toMatchObject({ src: GATEWAY_PUBLIC, protocol: expected.protocol });

    const incoming = await sniff(net.topology.client, 'c0', { direction: 'in', filter: 'icmp' });
    const raw = await net.server.raw(255);
    await raw.option(SOL_IP, IP_HDRINCL, 1);
    const { type, code } = expected;
    const quoted = translated.bytes.subarray(0, 28 + 100);
    await raw.sendTo(icmp({ src: SERVER_2, dst: GATEWAY_PUBLIC, type, code, rest }, quoted), [
      GATEWAY_PUBLIC,
      0,
    ]);
    await raw.close();
    const errors = (await incoming.stop()).map((packet) => packet.ip!);
    expect(errors).toHaveLength(1);
    const error = errors[0]!;
    expect(error).toMatchObject({ src: SERVER_2, dst: CLIENT, headerChecksumOk: true });
    expect([...error.payload.subarray(0, 2)]).toEqual([type, code]);
    expect(error.payload.readUInt32BE(4)).toBe(rest);
    expect(transportChecksumOk(error)).toBe(true);
    return { sent: sent.bytes, error: error.payload.subarray(8) };
  }

  /** The quote is what the client sent, but for the TTL, which routers on the way have lowered. */
  function expectQuote(quote: Buffer, sent: Buffer): void {
    const [inside, original] = [parseIpv4(quote)!, parseIpv4(sent)!];
    expect(inside).toMatchObject({ src: CLIENT, dst: original.dst, id: original.id, headerChecksumOk: true });
    // Ports or identifier, and all that follows; checksums in the quote must fit the client's packet as well.
    expect(quote.subarray(20)).toEqual(sent.subarray(20, quote.length));
  }

  it.each([
    [3, 1],
    [3, 3],
    [3, 13],
    [4, 0],
    [11, 0],
    [11, 1],
    [12, 0],
  ])('%i/%i about a UDP datagram reaches the client with its own packet quoted', async (type, code) => {
    const port = 47200 + type * 10 + code;
    const { sent, error } = await answerWithError({ type, code, protocol: UDP }, async (client) => {
      const socket = await client.udp([CLIENT, port]);
      await socket.sendTo(Buffer.alloc(60, 'quoted'), [SERVER, 9300]);
      await socket.close();
    });
    expectQuote(error, sent);
    expect(ports(parseIpv4(error)!)).toEqual({ sport: port, dport: 9300 });
  });

  it('reaches the client about an echo request', async () => {
    await net.topology.server.exec('sysctl -qw net.ipv4.icmp_echo_ignore_all=1');
    const { sent, error } = await answerWithError({ type: 3, code: 1, protocol: ICMP }, () =>
      net.topology.client.exec(`ping -c 1 -W 0.3 ${SERVER}`, { check: false }),
    );
    expectQuote(error, sent);
    await net.topology.server.exec('sysctl -qw net.ipv4.icmp_echo_ignore_all=0');
  });

  it('carries the MTU of a fragmentation needed about a TCP segment', async () => {
    // Nobody answers at this address, so the only segment is the SYN.
    await net.topology.server.exec('ip neigh add 198.18.0.66 lladdr 02:00:00:00:00:66 dev s0');
    await net.topology.gateway.exec(
      `ip neigh add 198.18.0.66 lladdr ${await net.topology.server.mac('s0')} dev g1`,
    );
    const { sent, error } = await answerWithError(
      { type: 3, code: 4, protocol: TCP },
      (client) => client.connect(['198.18.0.66', 80], [CLIENT, 47300], 0.3).catch(() => {}),
      1400,
    );
    expectQuote(error, sent);
  });

  it("makes the client's socket fail as if there were no gateway", async () => {
    const socket = await net.client.udp([CLIENT, 47301]);
    await socket.option(SOL_IP, IP_RECVERR, 1);
    await socket.call('connect', [SERVER, 9301]);
    const arriving = await sniff(net.topology.server, 's0', { direction: 'in', filter: 'udp' });
    // Nothing listens there: the first error is the server's own port unreachable.
    await socket.call('send', Buffer.from('first'));
    await expect(socket.receive()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const quoted = (await arriving.stop())[0]!.ip!.bytes;
    const raw = await net.server.raw(255);
    await raw.option(SOL_IP, IP_HDRINCL, 1);
    const hostUnreachable = icmp({ src: SERVER_2, dst: GATEWAY_PUBLIC, type: 3, code: 1 }, quoted);
    await raw.sendTo(hostUnreachable, [GATEWAY_PUBLIC, 0]);
    await expect(socket.receive()).rejects.toMatchObject({ code: 'EHOSTUNREACH' });
    await raw.close();
    await socket.close();
  });
});

describe('a destination that does not answer', () => {
  const net = useGateway();

  it('gives host unreachable when nobody answers ARP', async () => {
    const { stdout } = await net.topology.client.exec('ping -c 6 -i 1 -W 1 198.18.0.77', { check: false });
    // The kernel says it with its public address (the packet is translated by then).
    expect(stdout).toMatch(/^From (10\.77\.0\.1|198\.18\.0\.1) icmp_seq=\d+ Destination Host Unreachable$/m);
  });

  it('gives net unreachable when there is no route', async () => {
    await net.topology.gateway.exec(`ip route del default via ${SERVER}`);
    await sleep(200); // the change is followed, not asked for with each packet
    const { stdout } = await net.topology.client.exec('ping -c 2 -i 0.5 -W 1 192.0.2.1', { check: false });
    expect(stdout).toContain(`From ${GATEWAY_PRIVATE} icmp_seq=1 Destination Net Unreachable`);
    await net.topology.gateway.exec(`ip route add default via ${SERVER}`);
  });
});
