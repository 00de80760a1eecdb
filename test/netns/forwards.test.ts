/** What is let in, and what is not translated: forwards, external addresses, 1:1 and exemptions, with real clients. */
import { describe, expect, it } from 'vitest';
import { type Fixture, useGateway } from './support/fixture.ts';
import { natgateOnly } from './support/gateway.ts';
import type { Natgate } from './support/natgate.ts';
import { until } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import {
  CLIENT,
  GATEWAY_PRIVATE,
  GATEWAY_PUBLIC,
  ip,
  type Namespace,
  SERVER,
  SERVER_2,
} from './support/topology.ts';

/** Further private hosts, as far as the NAT can tell. */
const CLIENT_2 = '10.77.0.3';
const CLIENT_3 = '10.77.0.4';
const POOL = '198.18.0.40';
const ONE_TO_ONE = '198.18.0.50';
/** Behind the server, and told the way to the private network. */
const EXEMPT = '203.0.113.9';

/** The client's and the server's address as the web server at `address` sees them. */
async function ends(from: Namespace, address: string, source?: string): Promise<string> {
  const bind = source === undefined ? [] : ['--interface', source];
  const curl = ['curl', '-sS', '--max-time', '5', ...bind, `http://${address}/ends`];
  return (await from.exec(curl)).stdout;
}

/** curl's exit status where a connection gets no answer. */
const NO_ANSWER = 28;
async function refused(from: Namespace, address: string): Promise<number> {
  const curl = ['curl', '-sS', '--max-time', '1', `http://${address}/ends`];
  return (await from.exec(curl, { check: false })).code;
}

async function moreClients({ topology, client, server }: Omit<Fixture, 'gateway'>): Promise<void> {
  for (const address of [CLIENT_2, CLIENT_3]) await ip(topology.client, `addr add ${address}/24 dev c0`);
  await client.http(8000);
  await client.udpEcho(5300);
  await server.http(8000);
}

natgateOnly('forwards', () => {
  const net = useGateway({
    args: [
      ...['--forward', `tcp:8080=${CLIENT}:8000`],
      ...['--forward', `tcp:8081=${CLIENT_2}:8000,${CLIENT_3}:8000`],
      ...['--forward', `tcp:8082=${CLIENT_2}:8000,${CLIENT_3}:8000,affinity=600`],
      ...['--forward', `tcp:8083=${CLIENT}:8000,from=${SERVER_2}/32`],
      ...['--forward', `tcp:8000-8009=${CLIENT_2}`],
      ...['--forward', `udp:5300=${CLIENT}`],
      ...['--forward', `tcp:8090=${CLIENT}:8000,twice`],
      ...['--forward', `udp:5390=${CLIENT}:5300,twice`],
      // Nothing listens there.
      ...['--forward', `udp:5391=${CLIENT}:5301,twice`],
    ],
    before: moreClients,
  });
  const outside = () => net.topology.server;
  const inside = () => net.topology.client;
  const at = (port: number) => `${GATEWAY_PUBLIC}:${port}`;

  it('lead from outside to a private web server, which sees who asks', async () => {
    expect(await ends(outside(), at(8080))).toBe(`${SERVER} ${CLIENT}`);
    expect(await ends(outside(), at(8080), SERVER_2)).toBe(`${SERVER_2} ${CLIENT}`);
  });

  it('lead private hosts there by the public address, as whom the web server sees the gateway', async () => {
    expect(await ends(inside(), at(8080), CLIENT_2)).toBe(`${GATEWAY_PUBLIC} ${CLIENT}`);
    // Even the web server's own host.
    expect(await ends(inside(), at(8080), CLIENT)).toBe(`${GATEWAY_PUBLIC} ${CLIENT}`);
  });

  it('carry a large answer both ways, checked by its SHA-256', async () => {
    const size = 20_000_000;
    const sum = await net.client.patternSha256(size);
    for (const from of [outside(), inside()]) {
      const { stdout } = await from.shell(`curl -sS http://${at(8080)}/${size} | sha256sum`);
      expect(stdout.split(' ')[0]).toBe(sum);
    }
  });

  it('a range keeps the port', async () => {
    expect(await ends(outside(), at(8000))).toBe(`${SERVER} ${CLIENT_2}`);
    // Nobody listens at the others: the private host says so, not the gateway's.
    await expect(net.server.connect([GATEWAY_PUBLIC, 8009])).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('several hosts take turns', async () => {
    const seen: string[] = [];
    for (let i = 0; i < 4; i++) seen.push(await ends(outside(), at(8081)));
    expect(seen.sort()).toEqual(
      [CLIENT_2, CLIENT_2, CLIENT_3, CLIENT_3].map((address) => `${SERVER} ${address}`),
    );
  });

  it('with affinity a client stays with one, and the next has another', async () => {
    const [first] = [await ends(outside(), at(8082))];
    for (let i = 0; i < 3; i++) expect(await ends(outside(), at(8082))).toBe(first);
    const other = await ends(outside(), at(8082), SERVER_2);
    // Several workers choose by the client's address, which is the same choice for some.
    if (process.env['NATGATE_WORKERS'] !== undefined) return;
    expect(other.split(' ')[1]).not.toBe(first!.split(' ')[1]);
  });

  it('are closed to whom they are not for', async () => {
    expect(await ends(outside(), at(8083), SERVER_2)).toBe(`${SERVER_2} ${CLIENT}`);
    expect(await refused(outside(), at(8083))).toBe(NO_ANSWER);
  });

  it('UDP, in fragments too', async () => {
    const socket = await net.server.udp();
    for (const size of [1, 8000]) {
      const data = Buffer.alloc(size, size);
      await socket.sendTo(data, [GATEWAY_PUBLIC, 5300]);
      expect(await socket.receiveFrom()).toEqual([data, [GATEWAY_PUBLIC, 5300]]);
    }
  });

  describe('twice', () => {
    it('the web server sees the gateway’s private address', async () => {
      expect(await ends(outside(), at(8090))).toBe(`${GATEWAY_PRIVATE} ${CLIENT}`);
    });

    it('UDP, in fragments too', async () => {
      const socket = await net.server.udp();
      for (const size of [1, 8000]) {
        const data = Buffer.alloc(size, size);
        await socket.sendTo(data, [GATEWAY_PUBLIC, 5390]);
        expect(await socket.receiveFrom()).toEqual([data, [GATEWAY_PUBLIC, 5390]]);
      }
    });

    it('errors find their way back', async () => {
      const socket = await net.server.udp();
      await socket.call('connect', [GATEWAY_PUBLIC, 5391]);
      await socket.send(Buffer.from('nobody is there'));
      await expect(socket.receive()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    });

    it('the gateway’s own services at that address stay reachable, on its ports as well', async () => {
      const { host, client } = net;
      for (const port of [53, 40_000]) {
        await host.udpEcho(port, GATEWAY_PRIVATE);
        await host.tcpEcho(port, GATEWAY_PRIVATE);
        const socket = await client.udp();
        for (const size of [1, 8000]) {
          const data = Buffer.alloc(size, size);
          await socket.sendTo(data, [GATEWAY_PRIVATE, port]);
          expect(await socket.receiveFrom()).toEqual([data, [GATEWAY_PRIVATE, port]]);
        }
        expect(await (await client.connect([GATEWAY_PRIVATE, port])).echo('hello')).toBe('hello');
      }
      await inside().exec(`ping -c 1 -W 2 -s 8000 ${GATEWAY_PRIVATE}`);
      // A port where nobody listens is refused by the gateway host itself.
      await expect(client.connect([GATEWAY_PRIVATE, 40_001])).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    });

    it('the gateway’s own connections to private hosts go on', async () => {
      expect(await ends(net.topology.gateway, `${CLIENT}:8000`)).toBe(`${GATEWAY_PRIVATE} ${CLIENT}`);
      await net.topology.gateway.exec(`ping -c 1 -W 2 -s 8000 ${CLIENT}`);
    });
  });
});

natgateOnly('external addresses', () => {
  const net = useGateway({
    args: [
      ...['--external', POOL],
      ...['--one-to-one', `${ONE_TO_ONE}=${CLIENT_2}`],
      ...['--forward', `tcp:${POOL}:80=${CLIENT}:8000`],
    ],
    before: moreClients,
  });
  const outside = () => net.topology.server;
  const inside = () => net.topology.client;

  it('a pool: its address is what is seen outside, by TCP, UDP and ping', async () => {
    expect(await ends(inside(), `${SERVER}:8000`, CLIENT)).toBe(`${POOL} ${SERVER}`);
    await net.server.udpEcho(5300);
    const socket = await net.client.udp([CLIENT, 0]);
    await socket.sendTo(Buffer.alloc(8000, 7), [SERVER, 5300]);
    expect(await socket.receiveFrom()).toEqual([Buffer.alloc(8000, 7), [SERVER, 5300]]);
    const seen = await sniff(outside(), 's0', { filter: 'icmp[0] == 8', direction: 'in' });
    await inside().exec(`ping -c 1 -W 2 -I ${CLIENT} -s 3000 ${SERVER}`);
    expect(new Set((await seen.stop()).map(({ ip: packet }) => packet!.src))).toEqual(new Set([POOL]));
  });

  it('a forward of an address of its own, from outside and by hairpin', async () => {
    expect(await ends(outside(), POOL)).toBe(`${SERVER} ${CLIENT}`);
    expect(await ends(inside(), POOL, CLIENT)).toBe(`${POOL} ${CLIENT}`);
  });

  it('1:1, from inside', async () => {
    expect(await ends(inside(), `${SERVER}:8000`, CLIENT_2)).toBe(`${ONE_TO_ONE} ${SERVER}`);
    const seen = await sniff(outside(), 's0', { filter: 'icmp[0] == 8', direction: 'in' });
    await inside().exec(`ping -c 1 -W 2 -I ${CLIENT_2} ${SERVER}`);
    expect((await seen.stop()).map(({ ip: packet }) => packet!.src)).toEqual([ONE_TO_ONE]);
  });

  it('1:1, from outside: ping, TCP and UDP', async () => {
    await outside().exec(`ping -c 1 -W 2 ${ONE_TO_ONE}`);
    await outside().exec(`ping -c 1 -W 2 -s 8000 ${ONE_TO_ONE}`);
    expect(await ends(outside(), `${ONE_TO_ONE}:8000`)).toBe(`${SERVER} ${CLIENT_2}`);
    await net.client.udpEcho(5302, CLIENT_2);
    const socket = await net.server.udp();
    await socket.sendTo(Buffer.alloc(8000, 7), [ONE_TO_ONE, 5302]);
    expect(await socket.receiveFrom()).toEqual([Buffer.alloc(8000, 7), [ONE_TO_ONE, 5302]]);
  });

  it('1:1, from inside by the external address', async () => {
    expect(await ends(inside(), `${ONE_TO_ONE}:8000`, CLIENT)).toBe(`${POOL} ${CLIENT_2}`);
    await inside().exec(`ping -c 1 -W 2 -I ${CLIENT} ${ONE_TO_ONE}`);
  });

  it('the gateway host keeps its own address', async () => {
    expect(await ends(net.topology.gateway, `${SERVER}:8000`)).toBe(`${GATEWAY_PUBLIC} ${SERVER}`);
    await outside().exec(`ping -c 1 -W 2 ${GATEWAY_PUBLIC}`);
  });
});

natgateOnly('exemptions', () => {
  const net = useGateway({
    args: ['--exempt', '203.0.113.0/24'],
    async before(fixture) {
      await moreClients(fixture);
      await ip(fixture.topology.server, `addr add ${EXEMPT}/32 dev lo`);
      await ip(fixture.topology.server, `route add 10.77.0.0/24 via ${GATEWAY_PUBLIC}`);
    },
  });
  const outside = () => net.topology.server;
  const inside = () => net.topology.client;
  const drops = async () => (await (net.gateway as Natgate).status()).drops;

  it('there a private host is seen as it is; elsewhere it is not', async () => {
    expect(await ends(inside(), `${EXEMPT}:8000`)).toBe(`${CLIENT} ${EXEMPT}`);
    expect(await ends(inside(), `${SERVER}:8000`)).toBe(`${GATEWAY_PUBLIC} ${SERVER}`);
  });

  it('UDP in fragments, ping and errors come back', async () => {
    await net.server.udpEcho(5300, EXEMPT);
    const socket = await net.client.udp();
    await socket.sendTo(Buffer.alloc(8000, 7), [EXEMPT, 5300]);
    expect(await socket.receiveFrom()).toEqual([Buffer.alloc(8000, 7), [EXEMPT, 5300]]);
    await inside().exec(`ping -c 1 -W 2 -s 3000 ${EXEMPT}`);
    const stray = await net.client.udp();
    await stray.call('connect', [EXEMPT, 5301]);
    await stray.send(Buffer.from('nobody is there'));
    await expect(stray.receive()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('nobody there begins a flow to a private host, nor reaches its flows from another address', async () => {
    const seen = await sniff(inside(), 'c0', { filter: 'ip', direction: 'in' });
    const before = (await drops())['no_flow'] ?? 0;
    expect((await outside().exec(`ping -c 1 -W 1 -I ${EXEMPT} ${CLIENT}`, { check: false })).code).toBe(1);
    expect(await refused(outside(), `${CLIENT}:8000`)).toBe(NO_ANSWER);
    const socket = await net.server.udp([EXEMPT, 0]);
    await socket.sendTo(Buffer.alloc(8000, 7), [CLIENT, 5300]);
    await until('they are counted', async () => ((await drops())['no_flow'] ?? 0) >= before + 3);
    expect((await seen.stop()).map(({ ip: packet }) => packet!.src)).toEqual([]);
  });
});
