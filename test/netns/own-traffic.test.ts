/**
 * The gateway host's own connections, in and out: opened before the gateway starts, they go on while it runs and
 * after it; new ones work meanwhile. The host's own packet filter and device-bound sockets see what they always saw.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Agent, SO_BINDTODEVICE, SOL_SOCKET, type Socket } from './support/agent.ts';
import { contender } from './support/contender.ts';
import { useGateway } from './support/fixture.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import {
  CLIENT,
  createTopology,
  GATEWAY_PRIVATE,
  GATEWAY_PUBLIC,
  SERVER,
  type Topology,
} from './support/topology.ts';

describe('connections of the gateway host from before the gateway ran', () => {
  let topology: Topology;
  let host: Agent;
  let server: Agent;
  let client: Agent;
  let gateway: Gateway | undefined;
  const open: { what: string; echo: (text: string) => Promise<string> }[] = [];

  const overTcp = (connection: Socket) => (text: string) => connection.echo(text);
  const overUdp = (socket: Socket, port: number, address: string) => async (text: string) => {
    await socket.sendTo(Buffer.from(text), [address, port]);
    return (await socket.receive()).toString();
  };
  /** Sends over each of them, and says which do not answer. */
  const silent = async (stage: string) => {
    const answers = await Promise.all(
      open.map(async ({ what, echo }) => {
        const text = `${stage}: ${what}`;
        const answer = await echo(text).catch((error: Error) => error.message);
        return answer === text ? [] : [`${text}: ${answer}`];
      }),
    );
    return answers.flat();
  };

  beforeAll(async () => {
    topology = await createTopology();
    [client, host, server] = await Promise.all([
      Agent.start(topology.client),
      Agent.start(topology.gateway),
      Agent.start(topology.server),
    ]);
    await server.tcpEcho(7);
    await server.udpEcho(7);
    // A service on an ordinary port, and one in the range that natgate takes for its own.
    for (const port of [2022, 45022]) {
      await host.tcpEcho(port);
      await host.udpEcho(port);
    }
  });
  afterAll(async () => {
    try {
      await gateway?.stop();
    } finally {
      await topology?.destroy();
    }
  });

  it('are there', async () => {
    // With the default range of local ports, where a client's port is one of natgate's as well.
    const out = await host.connect([SERVER, 7]);
    expect((await out.name())[1]).toBeGreaterThanOrEqual(32768);
    open.push({ what: 'TCP out from an ephemeral port', echo: overTcp(out) });
    const low = await host.connect([SERVER, 7], ['0.0.0.0', 20001]);
    open.push({ what: 'TCP out from a low port', echo: overTcp(low) });
    const udpOut = await host.udp(['0.0.0.0', 40053]);
    open.push({ what: 'UDP out from a port in the range', echo: overUdp(udpOut, 7, SERVER) });
    for (const port of [2022, 45022]) {
      const inbound = await server.connect([GATEWAY_PUBLIC, port]);
      open.push({ what: `TCP in to port ${port}`, echo: overTcp(inbound) });
      open.push({ what: `UDP in to port ${port}`, echo: overUdp(await server.udp(), port, GATEWAY_PUBLIC) });
      const fromInside = await client.connect([GATEWAY_PRIVATE, port]);
      open.push({ what: `TCP from inside to port ${port}`, echo: overTcp(fromInside) });
      const toPublic = await client.connect([GATEWAY_PUBLIC, 2022]);
      open.push({ what: `TCP from inside to the public address, ${port}`, echo: overTcp(toPublic) });
    }
    expect(await silent('before')).toEqual([]);
  });

  it('go on while it runs', async () => {
    gateway = await startGateway(topology);
    expect(await silent('during')).toEqual([]);
  });

  it('do not lose their port to a private host', async () => {
    // The same port and the same destination: the private host must get another one.
    const inside = await client.udp(['10.77.0.2', 40053]);
    expect(await overUdp(inside, 7, SERVER)('the same port')).toBe('the same port');
    const tcpInside = await client.connect([SERVER, 7], ['10.77.0.2', 45022]);
    expect(await tcpInside.echo('and TCP')).toBe('and TCP');
    expect(await silent('beside private hosts')).toEqual([]);
    await Promise.all([inside.close(), tcpInside.close()]);
  });

  it('are joined by new ones, in and out', async () => {
    open.push({ what: 'new TCP out', echo: overTcp(await host.connect([SERVER, 7])) });
    open.push({ what: 'new UDP out', echo: overUdp(await host.udp(), 7, SERVER) });
    for (const port of [2022, 45022]) {
      open.push({
        what: `new TCP in to ${port}`,
        echo: overTcp(await server.connect([GATEWAY_PUBLIC, port])),
      });
      open.push({ what: `new UDP in to ${port}`, echo: overUdp(await server.udp(), port, GATEWAY_PUBLIC) });
    }
    expect(await silent('new')).toEqual([]);
  });

  it.skipIf(contender === 'kernel')('a service that starts in the range while it runs is found', async () => {
    await host.tcpEcho(45044);
    await host.udpEcho(45044);
    let last = '';
    for (let i = 0; i < 50 && last !== 'found'; i++) {
      last = await server
        .connect([GATEWAY_PUBLIC, 45044], undefined, 0.5)
        .then((connection) => connection.echo('found'))
        .catch((error: Error) => error.message);
    }
    expect(last).toBe('found');
    expect(await overUdp(await server.udp(), 45044, GATEWAY_PUBLIC)('found')).toBe('found');
  });

  it('go on after it, new and old', async () => {
    await gateway!.stop();
    gateway = undefined;
    expect(await silent('after')).toEqual([]);
  });
});

describe('the gateway host, while a gateway runs,', () => {
  const net = useGateway({
    before: async ({ host, server, topology }) => {
      await server.tcpEcho(7);
      await host.tcpEcho(2024, '0.0.0.0', 'g1');
      await host.udpEcho(2024, '0.0.0.0', 'g1');
      await topology.gateway.exec('sysctl -qw net.ipv4.conf.all.rp_filter=1');
    },
  });

  it.each([56, 1472, 1473, 20000, 65507])('answers pings of %i bytes from outside', async (size) => {
    const { stdout } = await net.topology.server.exec(
      `ping -c 2 -i 0.2 -W 2 -M dont -s ${size} ${GATEWAY_PUBLIC}`,
    );
    expect(stdout).toContain('2 received');
  });

  it.each([56, 1473, 65507])('gets answers to its own pings of %i bytes', async (size) => {
    const { stdout } = await net.topology.gateway.exec(`ping -c 2 -i 0.2 -W 2 -M dont -s ${size} ${SERVER}`);
    expect(stdout).toContain('2 received');
  });

  it('gets fragmented datagrams on its own sockets, and errors about its own packets', async () => {
    const service = await net.host.udp(['0.0.0.0', 2025]);
    const remote = await net.server.udp();
    const data = Buffer.from(Array.from({ length: 30_000 }, (_, i) => i & 0xff));
    await remote.option(0, 10 /* IP_MTU_DISCOVER */, 0);
    await remote.sendTo(data, [GATEWAY_PUBLIC, 2025]);
    expect((await service.receive()).equals(data)).toBe(true);
    await service.call('connect', [SERVER, 9]);
    await service.call('send', Buffer.from('closed'));
    await expect(service.receive()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await Promise.all([service.close(), remote.close()]);
  });

  it('gets fragmented datagrams of private hosts to its public address', async () => {
    const service = await net.host.udp([GATEWAY_PUBLIC, 2026]);
    const inside = await net.client.udp();
    const data = Buffer.from(Array.from({ length: 30_000 }, (_, i) => (i * 3) & 0xff));
    await inside.option(0, 10 /* IP_MTU_DISCOVER */, 0);
    await inside.sendTo(data, [GATEWAY_PUBLIC, 2026]);
    const [received, from] = await service.receiveFrom();
    expect([received.equals(data), from[0]]).toEqual([true, CLIENT]);
    await Promise.all([service.close(), inside.close()]);
    const { stdout } = await net.topology.client.exec(
      `ping -c 2 -i 0.2 -W 2 -M dont -s 20000 ${GATEWAY_PUBLIC}`,
    );
    expect(stdout).toContain('2 received');
  });

  it('serves sockets bound to the public device', async () => {
    const connection = await net.server.connect([GATEWAY_PUBLIC, 2024]);
    expect(await connection.echo('bound TCP')).toBe('bound TCP');
    const socket = await net.server.udp();
    await socket.sendTo(Buffer.alloc(5000, 'bound UDP'), [GATEWAY_PUBLIC, 2024]);
    expect(await socket.receive()).toEqual(Buffer.alloc(5000, 'bound UDP'));
    const bound = await net.host.udp();
    await bound.option(SOL_SOCKET, SO_BINDTODEVICE, Buffer.from('g1'));
    await bound.sendTo(Buffer.from('x'), [SERVER, 9]);
    const ping = await net.topology.gateway.exec(`ping -I g1 -c 1 -W 2 -s 4000 -M dont ${SERVER}`);
    expect(ping.stdout).toContain('1 received');
    await Promise.all([connection.close(), socket.close(), bound.close()]);
  });

  it('obeys its own INPUT rules on the public device', async () => {
    const { gateway, server } = net.topology;
    await net.host.tcpEcho(2026);
    const rules = ['-p tcp --dport 2026', '-p icmp'];
    for (const rule of rules) await gateway.exec(`iptables -w -I INPUT -i g1 ${rule} -j DROP`);
    await expect(net.server.connect([GATEWAY_PUBLIC, 2026], undefined, 0.7)).rejects.toMatchObject({
      code: 'ETIMEDOUT',
    });
    for (const size of [56, 4000]) {
      const ping = await server.exec(`ping -c 1 -W 0.5 -M dont -s ${size} ${GATEWAY_PUBLIC}`, {
        check: false,
      });
      expect(ping.stdout).toContain('0 received');
    }
    const { stdout } = await gateway.exec('iptables -w -nvxL INPUT');
    const hits = stdout.split('\n').filter((line) => line.includes('DROP'));
    for (const line of hits) expect(Number(line.trim().split(/\s+/)[0])).toBeGreaterThan(0);
    for (const rule of rules) await gateway.exec(`iptables -w -D INPUT -i g1 ${rule} -j DROP`);
    expect(await (await net.server.connect([GATEWAY_PUBLIC, 2026])).echo('open again')).toBe('open again');
  });
});
