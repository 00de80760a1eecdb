/**
 * The public interface's address goes, comes back and changes under load, with real clients: what becomes of the flows, and how long
 * until packets flow again, which the tests print.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { until } from './support/process.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, ip, SERVER, type Topology } from './support/topology.ts';

const OTHER = '198.18.0.77';

/** Sends a datagram each millisecond and prints `time-sent-ms number` of each that came back, on one line at the end. */
const STREAM = `
import select, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 50001))
s.setblocking(False)
sent, back = {}, []
end = time.time() + float(sys.argv[1])
n = 0
print('begun', flush=True)
while time.time() < end:
    n += 1
    sent[n] = time.time()
    try: s.sendto(b'%d' % n, ('${SERVER}', 7))
    except OSError: pass
    time.sleep(0.001)
    while select.select([s], [], [], 0)[0]:
        try: back.append(int(s.recv(100)))
        except OSError: break
print('sent', n, 'back', ' '.join('%d:%d' % (sent[i] * 1000, i) for i in back), flush=True)
`;

natgateOnly('the address of the public interface', () => {
  let topology: Topology;
  let folder: string;
  let client: Agent;
  let server: Agent;
  const gateways: Natgate[] = [];

  beforeEach(async () => {
    topology = await createTopology();
    folder = mkdtempSync(join(tmpdir(), 'natgate-test-'));
    client = await Agent.start(topology.client);
    server = await Agent.start(topology.server);
    await server.tcpEcho(7);
    await server.udpEcho(7);
  });
  afterEach(async () => {
    try {
      for (const gateway of gateways.splice(0)) await gateway.stop();
    } finally {
      await topology.destroy();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  const start = async (text: string, args: string[] = []) => {
    const file = join(folder, 'natgate.yaml');
    writeFileSync(file, `private: g0\npublic: g1\n${text}`);
    const gateway = Natgate.launch(topology.gateway, ['--config', file, ...args]);
    gateways.push(gateway);
    await gateway.process.shows(READY, 15_000);
    return gateway;
  };
  const remove = (address = GATEWAY_PUBLIC) => ip(topology.gateway, `addr del ${address}/24 dev g1`);
  const add = (address: string) => ip(topology.gateway, `addr add ${address}/24 dev g1`);
  const waits = (gateway: Natgate) => gateway.process.shows(/waiting for an IPv4 address on g1$/m);

  /** The engine hears of an address a moment after the log says it; until then it answers that there is no way. */
  const connectOut = () =>
    until('the engine knows the way', () =>
      client.connect([SERVER, 7], undefined, 20).catch((error) => {
        if (['ENETUNREACH', 'EHOSTUNREACH'].includes(error.code)) return undefined;
        throw error;
      }),
    );

  it.each([[['--workers', '1']], [['--workers', '2']]])(
    'end, %s: every client learns it at once; forwards follow the new address',
    async (args) => {
      const gateway = await start('forwards: ["tcp:8080=10.77.0.2:8081"]\n', args);
      const connections = await Promise.all(Array.from({ length: 40 }, () => client.connect([SERVER, 7])));
      for (const connection of connections) expect(await connection.echo('before')).toBe('before');
      await client.tcpEcho(8081);
      const waiting = connections.map((connection) =>
        connection.receive(20).then(
          () => 'data',
          (error) => error.code,
        ),
      );
      const receiver = topology.server.spawn('iperf3 -s -1 --forceflush');
      await receiver.shows(/listening/i);
      const load = topology.client.spawn(`iperf3 -c ${SERVER} -t 20 --forceflush`);
      await load.shows(/sec /);
      const begin = Date.now();
      await remove();
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(['ECONNRESET']));
      console.log(
        `${args.join(' ')}: 40 connections reset, ${Date.now() - begin} ms after \`ip addr del\` was started`,
      );
      expect(await load.ended).not.toBe(0);
      await receiver.stop('SIGKILL');
      await add(OTHER);
      await gateway.process.shows(/the external address is 198\.18\.0\.77 now$/m);
      const inward = await server.connect([OTHER, 8080]);
      expect(await inward.echo('forwarded')).toBe('forwarded');
      const outward = await connectOut();
      expect(await outward.echo('after')).toBe('after');
      expect((await gateway.cli('status', ['--flows'])).stdout).not.toContain(`dst=${GATEWAY_PUBLIC}`);
    },
  );

  it('keep: connections go on when the address is back', async () => {
    const gateway = await start('nat: {on-address-change: keep}\n');
    const connection = await client.connect([SERVER, 7]);
    await connection.echo('before');
    await remove();
    await waits(gateway);
    await connection.send(Buffer.from('during'));
    await until('it is dropped', async () => ((await gateway.status()).drops['address_gone'] ?? 0) > 0);
    await add(GATEWAY_PUBLIC);
    expect((await connection.receiveExactly(6, 30)).toString()).toBe('during');
  });

  it('remap: a datagram flow goes on from the new address, on its port', async () => {
    const gateway = await start('nat: {on-address-change: remap}\n');
    const [peer, own] = [await server.udp([SERVER, 9]), await client.udp([CLIENT, 50_002])];
    await own.sendTo(Buffer.from('a'), [SERVER, 9]);
    expect((await peer.receiveFrom())[1]).toEqual([GATEWAY_PUBLIC, 50_002]);
    const connection = await client.connect([SERVER, 7]);
    await remove();
    await waits(gateway);
    await add(OTHER);
    await gateway.process.shows(/the external address is 198\.18\.0\.77 now$/m);
    await own.sendTo(Buffer.from('b'), [SERVER, 9]);
    const [, from] = await peer.receiveFrom();
    expect(from).toEqual([OTHER, 50_002]);
    await peer.sendTo(Buffer.from('c'), from);
    expect((await own.receive()).toString()).toBe('c');
    await expect(connection.receive()).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  /** To 198.18.9.1, and the one before stays. The default gateway decides: the new address is in its network. */
  async function moveOn(gateway: Natgate): Promise<void> {
    await ip(topology.server, 'addr add 198.18.9.2/24 dev s0');
    await ip(topology.gateway, 'addr add 198.18.9.1/24 dev g1');
    await ip(topology.gateway, 'route replace default via 198.18.9.2');
    await gateway.process.shows(/the external address is 198\.18\.9\.1 now$/m);
  }

  it('a former address that is still there carries its flows, until it goes', async () => {
    const gateway = await start('');
    const connection = await client.connect([SERVER, 7]);
    await connection.echo('before');
    await moveOn(gateway);
    expect(await connection.echo('still')).toBe('still');
    const next = await connectOut();
    expect(await next.echo('new')).toBe('new');
    expect((await gateway.cli('status', ['--flows'])).stdout).toContain('dst=198.18.9.1');
    await remove();
    await expect(connection.receive()).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('keep: a former address carries its flows on after the interface was down', async () => {
    const gateway = await start('nat: {on-address-change: keep}\n');
    const connection = await client.connect([SERVER, 7]);
    await connection.echo('before');
    await moveOn(gateway);
    await ip(topology.gateway, 'link set g1 down');
    await gateway.process.shows(/waiting for g1 to come up$/m);
    await ip(topology.gateway, 'link set g1 up');
    await ip(topology.gateway, 'route add default via 198.18.9.2');
    await until('the address is back', async () => (await gateway.status())['external'] === '198.18.9.1');
    expect(await connection.echo('after')).toBe('after');
  });

  it('an interface that goes down has lost its address', async () => {
    const gateway = await start('');
    const connection = await client.connect([SERVER, 7]);
    await ip(topology.gateway, 'link set g1 down');
    await gateway.process.shows(/waiting for g1 to come up$/m);
    await expect(connection.receive()).rejects.toMatchObject({ code: 'ECONNRESET' });
    await ip(topology.gateway, 'link set g1 up');
    await gateway.process.shows(/the external address is 198\.18\.0\.1 now$/m);
    const next = await connectOut();
    expect(await next.echo('again')).toBe('again');
  });

  it.each(['end', 'keep', 'remap'])('%s: datagrams flow again after the address is there', async (policy) => {
    const gateway = await start(`nat: {on-address-change: ${policy}}\n`);
    const stream = topology.client.spawn(['python3', '-c', STREAM, '4']);
    await stream.shows(/begun/);
    const times: number[] = [];
    for (let round = 0; round < 5; round++) {
      await remove();
      await new Promise((resolve) => setTimeout(resolve, 200));
      times.push(Date.now());
      await add(GATEWAY_PUBLIC);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await stream.shows(/^sent.*\n/m);
    const back = stream.stdout
      .match(/back (.*)/)![1]!
      .split(' ')
      .map((pair) => Number(pair.split(':')[0]));
    const recovery = times.map((time) => back.find((sent) => sent >= time)! - time).sort((a, b) => a - b);
    console.log(
      `${policy}: ms from the start of \`ip addr add\` until the first datagram that came back was sent, 5 times: ${recovery.join(', ')}`,
    );
    const { counters } = await gateway.status();
    console.log(
      `${policy}: flows`,
      JSON.stringify(counters, ['flows_address_gone', 'flows_remapped', 'resets_sent']),
    );
    expect(recovery.every(Number.isFinite)).toBe(true);
  });
});
