/** A gateway with one interface for both sides (support/lan.ts), with real hosts on all of them. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import {
  createLan,
  FIRST,
  INTERNET,
  LAN_GATEWAY,
  LAN_ROUTER,
  type Lan,
  SECOND,
  SUBNET,
} from './support/lan.ts';
import { ethernet, udp } from './support/packets.ts';
import { sniff } from './support/sniffer.ts';
import { ip, type Namespace } from './support/topology.ts';

const POOL = '10.0.0.6';

natgateOnly('a one-armed gateway', () => {
  let lan: Lan;
  let gateway: Natgate;
  const agents = {} as Record<'gateway' | 'first' | 'second' | 'subnet' | 'internet', Agent>;
  let redirects: Awaited<ReturnType<typeof sniff>>;
  const settings = async () =>
    (await lan.gateway.exec('sysctl -a -r send_redirects')).stdout.split('\n').sort();
  let before: string[];

  beforeAll(async () => {
    lan = await createLan();
    for (const name of ['gateway', 'first', 'second', 'subnet', 'internet'] as const) {
      agents[name] = await Agent.start(lan[name]);
      if (name !== 'gateway') await agents[name].http(8000);
    }
    await agents.gateway.http(80);
    before = await settings();
    gateway = Natgate.launch(lan.gateway, [
      ...['--private', 'e0=10.0.0.0/16', '--public', 'e0'],
      ...['--forward', `tcp:8080=${FIRST}:8000`, '--forward', `tcp:8081=${SUBNET}:8000`],
      ...['--forward', `tcp:8082=${FIRST}:8000,twice`, '--one-to-one', `${POOL}=${SECOND}`],
    ]);
    await gateway.process.shows(READY, 15_000);
    redirects = await sniff(lan.first, 'e0', { filter: 'icmp[0] == 5' });
  });
  afterAll(async () => {
    try {
      if (gateway?.process.running) await gateway.process.stop('SIGKILL');
    } finally {
      lan?.destroy();
    }
  });

  const ends = async (from: Namespace, address: string) =>
    (await from.exec(`curl -sS --max-time 5 http://${address}/ends`)).stdout;
  const ping = async (from: Namespace, to: string, ...options: string[]) =>
    (await from.exec(['ping', '-c', '1', '-W', '2', ...options, to], { check: false })).stdout;

  it('is what its private hosts are seen as, in the same network and in another', async () => {
    for (const from of [lan.first, lan.subnet]) {
      expect(await ends(from, `${INTERNET}:8000`)).toBe(`${LAN_GATEWAY} ${INTERNET}`);
      expect(await ping(from, INTERNET)).toContain('1 received');
      expect(await ping(from, INTERNET, '-s', '4000')).toContain('1 received');
    }
  });

  it('carries a large download and an upload', async () => {
    const size = 30_000_000;
    const sum = await agents.internet.patternSha256(size);
    for (const from of [lan.first, lan.subnet]) {
      const { stdout } = await from.shell(`curl -sS http://${INTERNET}:8000/${size} | sha256sum`);
      expect(stdout.split(' ')[0]).toBe(sum);
    }
    const folder = mkdtempSync(join(tmpdir(), 'natgate-upload-'));
    try {
      const file = join(folder, 'file');
      writeFileSync(file, randomBytes(5_000_000));
      const { stdout } = await lan.first.exec(`curl -sS --max-time 60 -T ${file} http://${INTERNET}:8000/`);
      expect(stdout).toBe(createHash('sha256').update(readFileSync(file)).digest('hex'));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('lets errors through that a router of the private network sends about packets to the internet', async () => {
    const { stdout } = await lan.first.exec(`traceroute -n -q 1 -w 2 ${INTERNET}`);
    const hops = [...stdout.matchAll(/^ *\d+ +(\S+)/gm)].map(([, address]) => address);
    expect(hops).toEqual([LAN_GATEWAY, LAN_ROUTER, INTERNET]);
  });

  it('forwards from outside, to both networks, and tells who asks', async () => {
    expect(await ends(lan.internet, `${LAN_GATEWAY}:8080`)).toBe(`${INTERNET} ${FIRST}`);
    expect(await ends(lan.internet, `${LAN_GATEWAY}:8081`)).toBe(`${INTERNET} ${SUBNET}`);
    expect(await ends(lan.internet, `${LAN_GATEWAY}:8082`)).toBe(`${LAN_GATEWAY} ${FIRST}`);
  });

  it('leads private hosts to each other by its address', async () => {
    for (const from of [lan.second, lan.first]) {
      // The second host has an address of its own outside.
      const seen = from === lan.second ? POOL : LAN_GATEWAY;
      expect(await ends(from, `${LAN_GATEWAY}:8080`)).toBe(`${seen} ${FIRST}`);
    }
    expect(await ends(lan.subnet, `${LAN_GATEWAY}:8080`)).toBe(`${LAN_GATEWAY} ${FIRST}`);
  });

  it('takes a further address of the network for one host', async () => {
    await ip(lan.internet, `route add ${POOL}/32 via 203.0.113.1`);
    expect(await ends(lan.second, `${INTERNET}:8000`)).toBe(`${POOL} ${INTERNET}`);
    expect(await ends(lan.internet, `${POOL}:8000`)).toBe(`${INTERNET} ${SECOND}`);
    expect(await ping(lan.internet, POOL)).toContain('1 received');
  });

  it('leaves what private hosts have to do with each other alone', async () => {
    expect(await ends(lan.first, `${SECOND}:8000`)).toBe(`${FIRST} ${SECOND}`);
    expect(await ends(lan.subnet, `${FIRST}:8000`)).toBe(`${SUBNET} ${FIRST}`);
    // The way there is by the gateway, and the way back is not.
    expect(await ends(lan.first, `${SUBNET}:8000`)).toBe(`${FIRST} ${SUBNET}`);
    expect(await ping(lan.first, SUBNET)).toContain('1 received');
    expect(await ping(lan.subnet, FIRST)).toContain('1 received');
  });

  it('leaves the host its own traffic', async () => {
    expect(await ends(lan.gateway, `${INTERNET}:8000`)).toBe(`${LAN_GATEWAY} ${INTERNET}`);
    expect(await ends(lan.gateway, `${FIRST}:8000`)).toBe(`${LAN_GATEWAY} ${FIRST}`);
    for (const from of [lan.first, lan.internet, lan.subnet]) {
      expect((await ends(from, LAN_GATEWAY)).split(' ')[1]).toBe(LAN_GATEWAY);
      expect(await ping(from, LAN_GATEWAY)).toContain('1 received');
      expect(await ping(from, LAN_GATEWAY, '-s', '4000')).toContain('1 received');
    }
  });

  it('lets nobody outside reach a private host by its address', async () => {
    await ip(lan.internet, `route add ${FIRST}/32 via 203.0.113.1`);
    const [from, to] = [await lan.router.mac('e0'), await lan.gateway.mac('e0')];
    const capture = await sniff(lan.first, 'e0', { filter: 'udp port 7777' });
    // As if the router had the way to it by the gateway.
    const packet = udp({ src: INTERNET, dst: FIRST, sport: 53, dport: 7777 }, Buffer.from('hello?'));
    const router = await Agent.start(lan.router);
    await router.inject('e0', [ethernet(to, from, packet)]);
    await router.stop();
    expect(await capture.stop()).toEqual([]);
  });

  it('follows the address', async () => {
    await ip(lan.gateway, 'addr add 10.0.0.9/24 dev e0');
    await lan.gateway.exec('sysctl -qw net.ipv4.conf.all.promote_secondaries=1');
    await ip(lan.gateway, `addr del ${LAN_GATEWAY}/24 dev e0`);
    await ip(lan.gateway, `route replace default via ${LAN_ROUTER}`);
    await gateway.process.shows(/the external address is 10\.0\.0\.9 now/);
    await ip(lan.first, 'route replace default via 10.0.0.9');
    await ip(lan.internet, 'route add 10.0.0.9/32 via 203.0.113.1');
    expect(await ends(lan.first, `${INTERNET}:8000`)).toBe(`10.0.0.9 ${INTERNET}`);
  });

  it('sends no redirects, and leaves the host as it was', async () => {
    expect(await redirects.stop()).toEqual([]);
    const during = await lan.gateway.exec(
      'sysctl -n net.ipv4.conf.all.send_redirects net.ipv4.conf.e0.send_redirects',
    );
    expect(during.stdout).toBe('0\n0\n');
    expect(await gateway.process.stop('SIGTERM')).toBe(0);
    expect(await settings()).toEqual(before);
    expect((await ip(lan.gateway, '-br link')).stdout).not.toContain('natgate');
  });
});
