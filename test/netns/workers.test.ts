/**
 * Several workers: the steering program on literal packets, and a gateway of four with real clients, through source ports of
 * every worker. The other files of this folder run with several workers as well: `NATGATE_WORKERS=4`.
 */
import { closeSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROG_TYPE_SOCKET_FILTER } from '../../src/host/ebpf/kernel.ts';
import { loadProgram } from '../../src/host/ebpf/load.ts';
import { queueSteering } from '../../src/host/steering/queue.ts';
import { addon } from '../../src/link/addon.ts';
import { queueOf } from '../engine/crew.ts';
import { Agent, type Socket } from './support/agent.ts';
import { addBeyond, BEYOND } from './support/beyond.ts';
import { useGateway } from './support/fixture.ts';
import { Natgate, natgateOnly } from './support/gateway.ts';
import { icmp, ipv4, SYN, tcp, UDP, udp } from './support/packets.ts';
import { until } from './support/process.ts';
import { hostState } from './support/snapshot.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, ip, SERVER, type Topology } from './support/topology.ts';

const WORKERS = 4;
const NOPS = Buffer.from([1, 1, 1, 1]);

describe('the steering program', () => {
  const fds = new Map<string, number>();
  beforeAll(() => {
    for (const side of ['private', 'public'] as const) {
      fds.set(side, loadProgram('t_queue', queueSteering(side, WORKERS), PROG_TYPE_SOCKET_FILTER));
    }
  });
  afterAll(() => {
    for (const fd of fds.values()) closeSync(fd);
  });
  const queue = (side: string, packet: Buffer) => {
    const frame = Buffer.concat([Buffer.alloc(12), Buffer.from([8, 0]), packet]);
    return addon().bpfProgRun(fds.get(side)!, frame, 0).returnValue;
  };
  const ends = { src: CLIENT, dst: SERVER };
  const sent = { ...ends, sport: 40002, dport: 40005 };
  const query = (type: number, id: number, options?: Buffer) =>
    icmp({ ...ends, type, code: 0, rest: id * 65536, ...(options && { options }) }, Buffer.alloc(8));

  it.each([
    ['TCP', tcp({ ...sent, flags: SYN }), 1, 2],
    ['TCP, options', tcp({ ...sent, flags: SYN, options: NOPS }), 1, 2],
    ['UDP', udp(sent, Buffer.alloc(3)), 1, 2],
    ['UDP, port 65535 to 0', udp({ ...ends, sport: 65535, dport: 0 }, Buffer.alloc(0)), 3, 0],
    ['UDP, port 40001 to 40007', udp({ ...ends, sport: 40001, dport: 40007 }, Buffer.alloc(0)), 0, 3],
    ['SCTP', ipv4({ ...ends, protocol: 132 }, Buffer.from('9c429c450000000000000000', 'hex')), 1, 2],
    ['GRE', ipv4({ ...ends, protocol: 47 }, Buffer.alloc(8, 0xff)), 0, 0],
    ['a first fragment', ipv4({ ...ends, protocol: UDP, mf: true }, Buffer.alloc(16, 0xff)), 0, 0],
    ['a later fragment', ipv4({ ...ends, protocol: UDP, offset: 8 }, Buffer.alloc(16, 0xff)), 0, 0],
    ['don’t fragment is none', ipv4({ ...ends, protocol: UDP, df: true }, udpOf(40004, 40006)), 2, 3],
    ['echo request', query(8, 0x1234), 2, 2],
    ['echo reply, options', query(0, 0x1236, NOPS), 3, 3],
    ['timestamp request', query(13, 0xfffd), 2, 2],
    ['no ports', ipv4({ ...ends, protocol: UDP }, Buffer.alloc(0)), 0, 0],
    ['no ICMP id', ipv4({ ...ends, protocol: 1 }, Buffer.from([8, 0, 0, 0])), 0, 0],
  ])('%s: %#', (_, packet, inside, outside) => {
    expect([queue('private', packet), queue('public', packet)]).toEqual([inside, outside]);
  });

  it.each([3, 4, 5, 11, 12])('ICMP error %i: by the port of our side in what it quotes', (type) => {
    for (const [quote, inside, outside] of [
      [tcp({ ...sent, flags: SYN }), 2, 1],
      [udp({ ...sent, options: NOPS }, Buffer.alloc(9)), 2, 1],
      [query(8, 0x1234), 2, 2],
      [ipv4({ ...ends, protocol: UDP, mf: true }, udpOf(40002, 40004)), 2, 1],
      [ipv4({ ...ends, protocol: UDP, offset: 8 }, udpOf(40002, 40004)), 0, 0],
      [ipv4({ ...ends, protocol: 47 }, Buffer.alloc(8, 0xff)), 0, 0],
      [Buffer.alloc(0), 0, 0],
    ] as const) {
      const error = icmp({ src: SERVER, dst: CLIENT, type, code: 0 }, quote);
      expect([queue('private', error), queue('public', error)]).toEqual([inside, outside]);
    }
  });

  it('says what the engine says', () => {
    for (let port = 0; port < 65536; port += 331) {
      const packet = udp({ ...ends, sport: port, dport: 65535 - port }, Buffer.alloc(1));
      expect(queue('private', packet)).toBe(queueOf(packet, 0, WORKERS));
      expect(queue('public', packet)).toBe(queueOf(packet, 1, WORKERS));
    }
  });
});

function udpOf(sport: number, dport: number): Buffer {
  return udp({ src: CLIENT, dst: SERVER, sport, dport }, Buffer.alloc(16)).subarray(20);
}

natgateOnly('a gateway of four workers', () => {
  const net = useGateway({
    args: [
      ...['--workers', `${WORKERS}`, '--flows', '8192', '--helper', 'ftp'],
      // From worker 1's port to worker 0's.
      ...['--forward', `tcp:8082=${CLIENT}:80`, '--forward', `udp:5302=${CLIENT}:53`],
    ],
    before: async ({ topology, client, server }) => {
      await addBeyond(topology);
      await ip(topology.client, 'addr add 10.77.0.3/24 dev c0');
      await client.http(80);
      await client.udpEcho(53);
      await server.http(8000);
      await server.udpEcho(7);
      await server.tcpEcho(7);
    },
  });
  const gateway = () => net.gateway as Natgate;
  const counter = async (name: string) => {
    const { counters } = (await gateway().status()) as unknown as { counters: Record<string, number> };
    return counters[name]!;
  };

  it('every worker has flows, and their ports are preserved', async () => {
    const handed = await counter('handed_off');
    const server = await net.server.udp(['0.0.0.0', 4000]);
    for (let port = 41000; port < 41032; port++) {
      const socket = await net.client.udp(['0.0.0.0', port]);
      await socket.sendTo(Buffer.from(`${port}`), [SERVER, 4000]);
      expect(await server.receiveFrom()).toEqual([Buffer.from(`${port}`), [GATEWAY_PUBLIC, port]]);
      await server.sendTo(Buffer.from('back'), [GATEWAY_PUBLIC, port]);
      expect((await socket.receive()).toString()).toBe('back');
      await socket.close();
    }
    await server.close();
    // The steering gives each worker its own.
    expect(await counter('handed_off')).toBe(handed);
    const status = await gateway().status();
    expect(status).toMatchObject({ workers: WORKERS, flows: { udp: 32, capacity: 8192 } });
    const { stdout } = await gateway().cli('status', ['--flows', '--json']);
    expect(JSON.parse(stdout)).toHaveLength(32);
  });

  it('curl from many ports at once, checked by SHA-256', async () => {
    const size = 3_000_001;
    const sum = await net.server.patternSha256(size);
    const downloads = Array.from({ length: 12 }, () =>
      net.topology.client.shell(`curl -sS http://${SERVER}:8000/${size} | sha256sum`),
    );
    for (const { stdout } of await Promise.all(downloads)) expect(stdout.split(' ')[0]).toBe(sum);
  });

  it('ping of all sizes, with ids of every worker', async () => {
    for (const [id, size] of [
      [1000, 56],
      [1002, 1472],
      [1004, 4000],
      [1006, 65_507],
    ]) {
      const ping = `ping -c 3 -i 0.2 -W 3 -M dont -e ${id} -s ${size} ${SERVER}`;
      expect((await net.topology.client.exec(ping)).stdout).toContain('3 received');
    }
  });

  it.each(['-U', '-I', '-T'])('traceroute %s', async (how) => {
    const { stdout } = await net.topology.client.exec(`traceroute -n -w 3 -q 1 -N 1 ${how} ${BEYOND}`);
    expect(stdout).not.toContain('*');
    expect(stdout).toContain(BEYOND);
  });

  it('a forward that shifts the port, from outside and as a hairpin', async () => {
    const size = 3_000_001;
    const sum = await net.client.patternSha256(size);
    const before = await counter('handed_off');
    for (const from of [net.topology.server, net.topology.client]) {
      const curl = `curl -sS --max-time 20 http://${GATEWAY_PUBLIC}:8082/${size} | sha256sum`;
      expect((await from.shell(curl)).stdout.split(' ')[0]).toBe(sum);
    }
    expect(await counter('handed_off')).toBeGreaterThan(before);
    const socket = await net.server.udp();
    for (const length of [1, 8000]) {
      const data = Buffer.alloc(length, length);
      await socket.sendTo(data, [GATEWAY_PUBLIC, 5302]);
      expect(await socket.receiveFrom()).toEqual([data, [GATEWAY_PUBLIC, 5302]]);
    }
    await socket.close();
  });

  it('hairpins between sockets of all pairs of workers, whole and in fragments', async () => {
    const ports = [42000, 42002, 42004, 42006];
    const sockets = await Promise.all(ports.map((port) => net.client.udp([CLIENT, port])));
    const others = await Promise.all(ports.map((port) => net.client.udp(['10.77.0.3', port + 100])));
    for (const socket of [...sockets, ...others]) {
      await socket.sendTo(Buffer.from('x'), [SERVER, 7]);
      await socket.receive();
    }
    for (const [i, socket] of sockets.entries()) {
      for (const [j, other] of others.entries()) {
        for (const length of [3, 5000]) {
          const data = Buffer.alloc(length, 16 * i + j);
          await socket.sendTo(data, [GATEWAY_PUBLIC, ports[j]! + 100]);
          expect(await other.receiveFrom()).toEqual([data, [GATEWAY_PUBLIC, ports[i]!]]);
          await other.sendTo(data, [GATEWAY_PUBLIC, ports[i]!]);
          expect(await socket.receiveFrom()).toEqual([data, [GATEWAY_PUBLIC, ports[j]! + 100]]);
        }
      }
    }
    await Promise.all([...sockets, ...others].map((socket) => socket.close()));
  });

  it('a datagram in fragments from a socket of each worker', async () => {
    const before = (await gateway().status()).drops;
    for (const port of [43000, 43002, 43004, 43006]) {
      const socket = await net.client.udp(['0.0.0.0', port]);
      const data = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * 7 + port) & 0xff));
      await socket.sendTo(data, [SERVER, 7]);
      expect((await socket.receive()).equals(data)).toBe(true);
      await socket.close();
    }
    expect((await gateway().status()).drops).toEqual(before);
  });
});

natgateOnly('the life of a gateway of four workers', () => {
  let topology: Topology;
  let agents: [Agent, Agent];
  let before: Record<string, string[]>;
  const args = ['--workers', `${WORKERS}`, '--flows', '8192'];
  beforeAll(async () => {
    topology = await createTopology();
    agents = await Promise.all([Agent.start(topology.client), Agent.start(topology.server)]);
    await agents[1].tcpEcho(7);
    await topology.gateway.exec('iptables -w -L -n');
    await topology.gateway.exec(`ping -c 1 -W 2 ${SERVER}`);
    before = await hostState(topology.gateway);
  });
  afterAll(() => topology.destroy());

  it('keeps the flows of all workers when the engine dies, when the gateway dies, and when it lingers', async () => {
    const gateway = await Natgate.start(topology.gateway, args);
    const connections: Socket[] = [];
    for (const port of [44000, 44002, 44004, 44006]) {
      connections.push(await agents[0].connect([SERVER, 7], ['0.0.0.0', port]));
    }
    const allAnswer = async (word: string) => {
      for (const connection of connections) expect(await connection.echo(word)).toBe(word);
    };
    await allAnswer('before');
    const engine = await gateway.enginePid();
    process.kill(engine, 'SIGKILL');
    await until('another engine process runs', async () => {
      const pid = await gateway.enginePid().catch(() => engine);
      return pid !== engine;
    });
    await allAnswer('engine');
    await gateway.process.stop('SIGKILL');
    const second = await Natgate.start(topology.gateway, [...args, '--linger', '30'], gateway.name);
    await allAnswer('supervisor');
    expect(await second.process.stop()).toBe(0);
    const third = await Natgate.start(topology.gateway, args, gateway.name);
    await allAnswer('linger');
    expect(((await third.status()) as unknown as { flows: object }).flows).toMatchObject({ tcp: 4 });
    await third.process.stop('SIGKILL');
    // With another number of workers they begin anew, and say so.
    const fourth = await Natgate.start(topology.gateway, ['--workers', '2', '--flows', '4096'], gateway.name);
    expect(fourth.process.stderr).toContain('the flows of the earlier run are forgotten');
    expect(await (await agents[0].connect([SERVER, 7])).echo('new')).toBe('new');
    await fourth.stop();
    expect(await hostState(topology.gateway)).toEqual(before);
  });

  it('is undone by `down` after its supervisor was killed', async () => {
    const gateway = await Natgate.start(topology.gateway, args);
    await gateway.process.stop('SIGKILL');
    await until('it can be undone', async () => (await gateway.cli('down', [], { check: false })).code === 0);
    expect(await hostState(topology.gateway)).toEqual(before);
  });
});
