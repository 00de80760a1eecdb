/** Starting, stopping, dying and coming back: the host is as before, and connections live as long as they can. */
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { scheduling, sliceHere } from '../link/scheduling.ts';
import { Agent } from './support/agent.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { sleep, until } from './support/process.ts';
import { hostState } from './support/snapshot.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, ip, SERVER, type Topology } from './support/topology.ts';

natgateOnly('the life of a gateway', () => {
  let topology: Topology;
  let client: Agent;
  let server: Agent;
  let before: Record<string, string[]>;
  const running: Natgate[] = [];

  const start = async (args: string[] = [], name?: string) => {
    const gateway = await Natgate.start(topology.gateway, args, name);
    running.push(gateway);
    return gateway;
  };
  const ping = () => topology.client.exec(`ping -c 1 -W 2 ${SERVER}`);

  beforeEach(async () => {
    topology = await createTopology();
    [client, server] = await Promise.all([Agent.start(topology.client), Agent.start(topology.server)]);
    await server.tcpEcho(7);
    await server.udpEcho(7);
    // What the kernel sets up at first use (conntrack's sysctls, ARP entries) is there before the comparison.
    await topology.gateway.exec('iptables -w -L -n');
    await topology.gateway.exec(`ping -c 1 -W 2 ${SERVER}`);
    before = await hostState(topology.gateway);
  });
  afterEach(async () => {
    for (const gateway of running.splice(0)) await gateway.cleanUp();
    await topology.destroy();
  });

  it('starts with one line and leaves the host as it was, within two seconds of SIGTERM', async () => {
    const gateway = await start();
    expect(READY.exec(gateway.process.stderr)?.slice(1)).toEqual(['g0', 'g1', GATEWAY_PUBLIC]);
    expect(gateway.process.stderr.trim().split('\n')).toHaveLength(1);
    expect(gateway.process.stdout).toBe('');
    await ping();
    await client.connect([SERVER, 7]);
    // 137 if it had to be killed.
    expect(await gateway.process.stop('SIGTERM', 2000)).toBe(0);
    expect(await hostState(topology.gateway)).toEqual(before);
    expect(gateway.process.stderr.trim().split('\n')).toHaveLength(1);
  });

  it('keeps kernel forwarding off and netfilter empty, and moves the local ports away', async () => {
    await start();
    const during = await hostState(topology.gateway);
    expect(during['iptables-save']).toEqual(before['iptables-save']);
    expect(during['nft list ruleset']).toEqual(before['nft list ruleset']);
    const sysctls = during['sysctl -ar ^net\\.']!;
    expect(sysctls).toContain('net.ipv4.ip_forward = 0');
    expect(sysctls).toContain('net.ipv4.conf.g0.forwarding = 0');
    expect(sysctls).toContain('net.ipv4.conf.g1.forwarding = 0');
    expect(sysctls).toContain('net.ipv4.ip_local_port_range = 16384\t32767');
  });

  it.each(['SIGINT', 'SIGHUP'] as const)('undoes everything on %s as well', async (signal) => {
    const gateway = await start();
    expect(await gateway.process.stop(signal)).toBe(0);
    expect(await hostState(topology.gateway)).toEqual(before);
  });

  it('leaves what it finds: a clsact qdisc, a port range, filters of others', async () => {
    const { gateway } = topology;
    await gateway.exec('sysctl -qw net.ipv4.ip_local_port_range=20000\t40000'.split(' '));
    await gateway.exec('tc qdisc add dev g0 clsact');
    const pass = ['bytecode', '1,6 0 0 4294967295', 'classid', '1:1'];
    await gateway.exec([...'tc filter add dev g0 egress bpf'.split(' '), ...pass]);
    const changed = await hostState(gateway);
    const natgate = await start();
    await ping();
    expect(await natgate.process.stop()).toBe(0);
    expect(await hostState(gateway)).toEqual(changed);
  });

  it('is undone by `down` after its supervisor was killed', async () => {
    const gateway = await start();
    const engine = await gateway.enginePid();
    await gateway.process.stop('SIGKILL');
    await until('the engine process has ended', () => !isAlive(engine));
    const { stderr } = await gateway.cli('down');
    expect(stderr).toMatch(new RegExp(`^natgate: ${gateway.name} is undone \\(\\d+ steps\\)\\n$`));
    expect(await hostState(topology.gateway)).toEqual(before);
    const again = await gateway.cli('down', [], { check: false });
    expect(again.code).toBe(3);
  });

  it('takes over what a killed one left, connections included', async () => {
    const gateway = await start();
    const connection = await client.connect([SERVER, 7]);
    await connection.echo('before');
    await gateway.process.stop('SIGKILL');
    const next = await start([], gateway.name);
    expect(await connection.echo('after')).toBe('after');
    expect(await next.process.stop()).toBe(0);
    expect(await hostState(topology.gateway)).toEqual(before);
  });

  it('runs its data plane ahead of most processes, in short turns', async () => {
    const gateway = await start();
    const engine = await gateway.enginePid();
    const threads = readdirSync(`/proc/${engine}/task`).map((thread) => scheduling(Number(thread)));
    const raised = threads.filter(({ nice }) => nice === -10);
    // The thread that passes control messages on, and the data plane that it made.
    expect(raised.length).toBeGreaterThanOrEqual(2);
    expect(new Set(raised.map(({ slice }) => slice))).toEqual(new Set([sliceHere(100_000)]));
    expect(await gateway.process.stop()).toBe(0);
  });

  it('restarts a dead engine process: old connections go on, new ones come about', async () => {
    const gateway = await start();
    const connection = await client.connect([SERVER, 7]);
    const datagrams = await client.udp();
    await datagrams.call('connect', [SERVER, 7]);
    for (let round = 0; round < 3; round++) {
      const engine = await gateway.enginePid();
      process.kill(engine, 'SIGKILL');
      await until('another engine process runs', async () => {
        const pid = await gateway.enginePid().catch(() => engine);
        return pid !== engine;
      });
      expect(await connection.echo(`round ${round}`)).toBe(`round ${round}`);
      await datagrams.call('send', Buffer.from('datagram'));
      expect((await datagrams.receive()).toString()).toBe('datagram');
      const fresh = await client.connect([SERVER, 7]);
      expect(await fresh.echo('new')).toBe('new');
      await fresh.close();
    }
    expect(await gateway.process.stop()).toBe(0);
    expect(await hostState(topology.gateway)).toEqual(before);
  });

  it('lets no uninvited packet in, and no reset out, while the engine is dead', async () => {
    const gateway = await start();
    const connection = await client.connect([SERVER, 7]);
    await connection.echo('before');
    await gateway.process.stop('SIGKILL');
    // Data in both directions meets nobody, and is sent again later.
    await connection.send(Buffer.from('after'));
    await sleep(500);
    await start([], gateway.name);
    expect((await connection.receiveExactly(5)).toString()).toBe('after');
  });

  it('--linger keeps connections across a restart', async () => {
    const gateway = await start(['--linger', '60']);
    const connection = await client.connect([SERVER, 7]);
    await connection.echo('before');
    expect(await gateway.process.stop()).toBe(0);
    expect((await topology.gateway.exec('ip -br link')).stdout).toContain('natgate-g1');
    const status = JSON.parse((await gateway.cli('status', ['--json'])).stdout);
    expect(Date.parse(status.lingersUntil)).toBeGreaterThan(Date.now());
    await connection.send(Buffer.from('after'));
    const next = await start([], gateway.name);
    expect((await connection.receiveExactly(5)).toString()).toBe('after');
    expect(await next.process.stop()).toBe(0);
    expect(await hostState(topology.gateway)).toEqual(before);
  });

  it('--linger ends by itself, or by `down`', async () => {
    for (const end of ['by itself', 'by down']) {
      const gateway = await start(['--linger', end === 'by itself' ? '1' : '60']);
      expect(await gateway.process.stop()).toBe(0);
      if (end === 'by down') await gateway.cli('down');
      await until(
        `undone ${end}`,
        async () => (await gateway.cli('status', [], { check: false })).code === 3,
      );
      expect(await hostState(topology.gateway)).toEqual(before);
    }
  });

  it('starts before the public interface has an address, and waits for one', async () => {
    await ip(topology.gateway, `addr del ${GATEWAY_PUBLIC}/24 dev g1`);
    const gateway = Natgate.launch(topology.gateway, ['--private', 'g0', '--public', 'g1']);
    running.push(gateway);
    await gateway.process.shows(/^natgate: waiting for an IPv4 address on g1$/m);
    expect(gateway.process.stderr).not.toMatch(READY);
    await ip(topology.gateway, `addr add ${GATEWAY_PUBLIC}/24 dev g1`);
    await ip(topology.gateway, `route add default via ${SERVER}`);
    await gateway.process.shows(READY);
    await ping();
    expect(await gateway.process.stop()).toBe(0);
    expect(await hostState(topology.gateway)).toEqual(before);
  });

  it('serves several pairs of interfaces under several names', async () => {
    const { client: c, gateway: g, server: s } = topology;
    const links: [string, string, string, string][] = [
      ['c1', 'g2', c.name, '10.78.0'],
      ['s1', 'g3', s.name, '198.19.0'],
    ];
    for (const [far, near, ns, net] of links) {
      await g.exec(`ip link add ${near} type veth peer name ${far} netns ${ns}`);
      await ip(g, `addr add ${net}.1/24 dev ${near}`);
      await ip(g, `link set ${near} up`);
    }
    await ip(c, 'addr add 10.78.0.2/24 dev c1');
    await ip(c, 'link set c1 up');
    await ip(s, 'addr add 198.19.0.2/24 dev s1');
    await ip(s, 'link set s1 up');
    await ip(c, 'route add 198.19.0.0/24 via 10.78.0.1');
    before = await hostState(g);

    const first = await start();
    const second = Natgate.launch(g, ['--private', 'g2', '--public', 'g3']);
    running.push(second);
    await second.process.shows(READY);
    const http = await server.listen(['0.0.0.0', 9700]);
    for (const [address, external] of [
      [SERVER, GATEWAY_PUBLIC],
      ['198.19.0.2', '198.19.0.1'],
    ]) {
      const connection = await client.connect([address!, 9700]);
      expect((await http.accept())[1][0]).toBe(external);
      await connection.close();
    }
    expect(await first.process.stop()).toBe(0);
    // The range of local ports is still moved: the second one needs it.
    const sysctl = await g.exec('sysctl -n net.ipv4.ip_local_port_range');
    expect(sysctl.stdout.trim()).toBe('16384\t32767');
    await topology.client.exec('ping -c 1 -W 2 198.19.0.2');
    expect(await second.process.stop()).toBe(0);
    expect(await hostState(g)).toEqual(before);
  });

  it('tells what it does in `status`', async () => {
    const gateway = await start();
    const connection = await client.connect([SERVER, 7], [CLIENT, 49001]);
    await connection.echo('counted');
    const status = JSON.parse((await gateway.cli('status', ['--json'])).stdout);
    expect(await gateway.status()).toMatchObject({ name: gateway.name, flows: status.flows });
    expect(status).toMatchObject({
      name: gateway.name,
      private: ['g0'],
      public: 'g1',
      external: GATEWAY_PUBLIC,
      flows: { tcp: 1 },
      standby: { state: expect.stringMatching(/^(loading|ready)$/), again: null },
    });
    const { stdout: flows } = await gateway.cli('status', ['--flows']);
    expect(flows).toMatch(
      /^tcp +6 \d+ ESTABLISHED src=10\.77\.0\.2 dst=198\.18\.0\.2 sport=49001 dport=7 .*src=198\.18\.0\.2 dst=198\.18\.0\.1 sport=7 dport=49001 .*\[ASSURED\]$/m,
    );
    expect(await gateway.process.stop()).toBe(0);
    expect((await gateway.cli('status', [], { check: false })).code).toBe(3);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
