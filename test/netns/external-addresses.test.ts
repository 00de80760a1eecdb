/**
 * Dedicated external addresses on a real gateway: the host takes them on, announces them, steers what is sent to them
 * to the engine, and is as before when the gateway has gone. What the engine then makes of the packets is not looked at.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { Natgate, natgateOnly } from './support/gateway.ts';
import { ethernet, ICMP, ipv4, SYN, TCP, tcp, UDP } from './support/packets.ts';
import { sleep, until } from './support/process.ts';
import { hostState } from './support/snapshot.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, ip, SERVER, type Topology } from './support/topology.ts';

const POOL = ['198.18.0.40', '198.18.0.41'];
const ONE_TO_ONE = '198.18.0.50';
/** Too wide for ARP: the server routes it here. */
const NETWORK = '100.64.0.0/23';
const OPTIONS = [
  ...['--external', `${POOL[0]}/31`],
  ...['--one-to-one', `${ONE_TO_ONE}=${CLIENT}`],
  ...['--netmap', `${NETWORK}=10.77.2.0/23`],
  ...['--forward', `tcp:${POOL[1]}:80=${CLIENT}`],
  ...['--forward', `tcp:5000-5001=${CLIENT}`],
];
const OWN = [...POOL, ONE_TO_ONE];

natgateOnly('dedicated external addresses', () => {
  let net: Topology;
  let client: Agent;
  let server: Agent;
  let before: Record<string, string[]>;
  const running: Natgate[] = [];

  const start = async (args: string[], name?: string) => {
    const gateway = await Natgate.start(net.gateway, args, name);
    running.push(gateway);
    return gateway;
  };
  const dedicated = async () =>
    [...(await ip(net.gateway, '-o -4 addr show dev g1 scope link')).stdout.matchAll(/inet (\S+)\/32/g)].map(
      ([, address]) => address,
    );
  /** Does something; the addresses that are announced on the public network meanwhile, and by which MAC. */
  const announced = async (act: () => Promise<unknown>) => {
    const capture = await sniff(net.server, 's0', { filter: 'arp', direction: 'in' });
    await act();
    await sleep(100);
    const frames = (await capture.stop()).map(({ frame }) => frame);
    const ownMac = await net.gateway.mac('g1');
    return frames.flatMap((frame) => {
      if (!frame.subarray(28, 32).equals(frame.subarray(38, 42))) return [];
      expect(frame.subarray(0, 14).toString('hex')).toBe(`ffffffffffff${ownMac.replaceAll(':', '')}0806`);
      return [[...frame.subarray(28, 32)].join('.')];
    });
  };

  beforeEach(async () => {
    net = await createTopology();
    [client, server] = await Promise.all([Agent.start(net.client), Agent.start(net.server)]);
    await net.gateway.exec('iptables -w -L -n');
    await net.gateway.exec(`ping -c 1 -W 2 ${SERVER}`);
    await ip(net.server, `route add ${NETWORK} via ${GATEWAY_PUBLIC}`);
    before = await hostState(net.gateway);
  });
  afterEach(async () => {
    for (const gateway of running.splice(0)) await gateway.cleanUp();
    await net.destroy();
  });

  it('are taken on, announced twice, and given back', async () => {
    let gateway!: Natgate;
    const seen = await announced(async () => {
      gateway = await start(OPTIONS);
      await sleep(2500);
    });
    expect(seen).toEqual([...OWN, ...OWN]);
    expect(await dedicated()).toEqual(OWN);
    const reserved = await net.gateway.exec('sysctl -n net.ipv4.ip_local_reserved_ports');
    expect(reserved.stdout.trim()).toBe('5000-5001');
    // The host's own connections go on leaving from the shared address.
    expect((await ip(net.gateway, `route get ${SERVER}`)).stdout).toContain(`src ${GATEWAY_PUBLIC}`);
    expect(await gateway.process.stop('SIGTERM')).toBe(0);
    expect(await hostState(net.gateway)).toEqual(before);
    // Only the warning about the network that must be routed, and the line that says it is ready.
    expect(gateway.process.stderr.match(/^natgate: .*$/gm)).toEqual([
      expect.stringContaining(`${NETWORK} must be routed to this host`),
      expect.stringMatching(/10\.77\.2\.0\/23 is on no private network/),
      expect.stringContaining('ready private=g0 public=g1'),
    ]);
  });

  it('lead to the engine from both sides, whatever is sent, and never to the host', async () => {
    await start(OPTIONS);
    const targets = [...OWN, '100.64.0.0', '100.64.1.255'];
    const outside = await sniff(net.gateway, 'natgate-g1', { filter: 'ip', direction: 'out' });
    const inside = await sniff(net.gateway, 'natgate-g0', { filter: 'ip', direction: 'out' });
    const answers = await sniff(net.server, 's0', {
      filter: `ip and (src ${OWN.join(' or src ')})`,
      direction: 'in',
    });
    const macs = {
      g0: await net.gateway.mac('g0'),
      g1: await net.gateway.mac('g1'),
      c0: await net.client.mac('c0'),
      s0: await net.server.mac('s0'),
    };
    const packets = (src: string) =>
      targets.flatMap((dst) => [
        tcp({ src, dst, sport: 4000, dport: 22, flags: SYN }),
        ipv4({ src, dst, protocol: UDP, offset: 8 }, Buffer.alloc(8)),
        ipv4({ src, dst, protocol: 50 }, Buffer.alloc(8)),
      ]);
    await server.inject(
      's0',
      packets(SERVER).map((packet) => ethernet(macs.g1, macs.s0, packet)),
    );
    await client.inject(
      'c0',
      packets(CLIENT).map((packet) => ethernet(macs.g0, macs.c0, packet)),
    );
    const expected = targets.flatMap((dst) => [dst, dst, dst]);
    expect((await outside.stop()).map(({ ip: packet }) => packet!.dst)).toEqual(expected);
    // Beside these the private host of the 1:1 address sends its own answers: a RST, or an ICMP error.
    const sent = (await inside.stop())
      .map(({ ip: packet }) => packet!)
      .filter(
        ({ protocol, payload }) => protocol !== ICMP && (protocol !== TCP || payload.readUInt16BE(2) === 22),
      );
    expect(sent.map(({ dst }) => dst)).toEqual(expected);
    const answered = (await answers.stop()).map(({ ip: packet }) => packet!.src);
    expect(answered.filter((src) => src !== ONE_TO_ONE)).toEqual([]);
  });

  it('are found by ARP', async () => {
    await start(OPTIONS);
    await net.server.exec(`ping -c 1 -W 1 ${POOL[1]}`, { check: false });
    const { stdout } = await ip(net.server, `neigh show ${POOL[1]}`);
    expect(stdout).toContain(await net.gateway.mac('g1'));
  });

  it('are put back when somebody removes them, and announced when the link comes back', async () => {
    const gateway = await start(OPTIONS);
    // Until the second announcement is over.
    await sleep(2500);
    const restored = await announced(async () => {
      await ip(net.gateway, `addr del ${POOL[1]}/32 dev g1`);
      await until('it is back', async () => (await dedicated()).includes(POOL[1]!));
      await gateway.process.shows(/somebody removed 198\.18\.0\.41 from g1: put back/);
    });
    expect(restored).toEqual([POOL[1]]);
    const again = await announced(async () => {
      await ip(net.server, 'link set s0 down');
      await until('no carrier', async () =>
        (await ip(net.gateway, 'link show g1')).stdout.includes('NO-CARRIER'),
      );
      await sleep(100);
      await ip(net.server, 'link set s0 up');
      await sleep(500);
    });
    expect([...new Set(again)].sort()).toEqual(OWN);
    expect(await gateway.process.stop('SIGTERM')).toBe(0);
    expect((await hostState(net.gateway))['ip addr show']).toEqual(before['ip addr show']);
  });

  it('give way to those of another file: only what is new is added and announced', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'natgate-external-'));
    const path = join(folder, 'natgate.yaml');
    const file = (...addresses: string[]) =>
      writeFileSync(path, `private: g0\npublic: g1\nexternal: [${addresses.join(', ')}]\n`);
    try {
      file(...POOL);
      const gateway = await start(['--config', path]);
      expect(await dedicated()).toEqual(POOL);
      await sleep(2500);
      const seen = await announced(async () => {
        file(POOL[1]!, '198.18.0.42');
        expect((await gateway.cli('reload')).code).toBe(0);
        expect(await dedicated()).toEqual([POOL[1], '198.18.0.42']);
        await sleep(2500);
      });
      expect(seen).toEqual(['198.18.0.42', '198.18.0.42']);
      expect(await gateway.process.stop('SIGTERM')).toBe(0);
      expect(await dedicated()).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('that were there before stay there afterwards', async () => {
    await ip(net.gateway, `addr add ${POOL[0]}/24 dev g1`);
    before = await hostState(net.gateway);
    const gateway = await start(['--external', POOL[0]!]);
    expect(await dedicated()).toEqual([]);
    expect(gateway.process.stderr).toContain(`g1 has ${POOL[0]} already`);
    expect(await gateway.process.stop('SIGTERM')).toBe(0);
    expect(await hostState(net.gateway)).toEqual(before);
  });

  it('are not taken for the address of the public interface, which may come later', async () => {
    await ip(net.gateway, `addr del ${GATEWAY_PUBLIC}/24 dev g1`);
    const gateway = Natgate.launch(net.gateway, ['--private', 'g0', '--public', 'g1', ...OPTIONS]);
    running.push(gateway);
    await gateway.process.shows(/waiting for an IPv4 address on g1/);
    expect(await dedicated()).toEqual(OWN);
    await ip(net.gateway, `addr add ${GATEWAY_PUBLIC}/24 dev g1`);
    await gateway.process.shows(/ready private=g0 public=g1 external=198\.18\.0\.1/);
    expect(await dedicated()).toEqual(OWN);
  });

  it('of a gateway that was killed are undone by `down`', async () => {
    const gateway = await start(OPTIONS);
    await gateway.process.stop('SIGKILL');
    expect(await dedicated()).toEqual(OWN);
    expect((await gateway.cli('down')).code).toBe(0);
    expect(await hostState(net.gateway)).toEqual(before);
  });

  it('of a gateway that was killed and runs again with others: only those remain', async () => {
    const first = await start(OPTIONS);
    await first.process.stop('SIGKILL');
    const second = await start(['--external', '198.18.0.41-198.18.0.42'], first.name);
    expect(await dedicated()).toEqual(['198.18.0.41', '198.18.0.42']);
    expect(await second.process.stop('SIGTERM')).toBe(0);
    expect(await hostState(net.gateway)).toEqual(before);
  });

  it.each([
    [['--external', GATEWAY_PUBLIC], /198\.18\.0\.1 is the address of g1 itself/],
    [['--external', '10.77.0.9'], /it overlaps 10\.77\.0\.0\/24, a private network behind g0/],
    [['--one-to-one', `${SERVER}=${CLIENT}`], /198\.18\.0\.2 is the router behind g1/],
    [['--deterministic', '--block-size', '256'], /128 blocks of 256 ports for 256 private addresses/],
  ])('%j: neither `run` nor `doctor` accept it', async (args, message) => {
    const gateway = Natgate.launch(net.gateway, ['--private', 'g0', '--public', 'g1', ...args]);
    running.push(gateway);
    expect(await gateway.process.ended).toBe(1);
    expect(gateway.process.stderr).toMatch(message);
    expect(await hostState(net.gateway)).toEqual(before);
    const doctor = await gateway.cli('doctor', ['--private', 'g0', '--public', 'g1', ...args], {
      check: false,
    });
    expect(doctor.code).toBe(1);
    expect(doctor.stdout).toMatch(message);
  });
});
