/** The printed commands make a private host of an empty namespace; the printed check and `doctor --from-client` say that it works. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { MAIN } from './support/contender.ts';
import { natgateOnly } from './support/gateway.ts';
import { Natgate } from './support/natgate.ts';
import { createTopology, GATEWAY_PRIVATE, ip, SERVER, type Topology } from './support/topology.ts';

const DNS_SERVER = fileURLToPath(new URL('./support/dns-server.mjs', import.meta.url));
const NAME = 'www.who.test';

natgateOnly('natgate clients', () => {
  let net: Topology;
  let natgate: Natgate;
  let resolvers: string;
  beforeAll(async () => {
    net = await createTopology();
    // The private host has nothing yet, and a resolv.conf of its own to write to.
    resolvers = join('/etc/netns', net.client.name);
    mkdirSync(resolvers, { recursive: true });
    writeFileSync(join(resolvers, 'resolv.conf'), '');
    await ip(net.client, 'addr flush dev c0');
    await ip(net.client, 'link set c0 down');
    const server = await Agent.start(net.server);
    await server.http(8000);
    await net.server.spawn([process.execPath, DNS_SERVER, SERVER, SERVER]).shows(/^ready$/m);
    natgate = await Natgate.start(net.gateway, ['--dns', SERVER]);
  });
  afterAll(async () => {
    rmSync(resolvers, { recursive: true, force: true });
    try {
      await natgate?.stop();
    } finally {
      await net?.destroy();
    }
  });

  const clients = async (...words: string[]) => (await natgate.cli('clients', words)).stdout;
  const fromClient = async (...words: string[]) => {
    const asked = ['--outside', SERVER, '--lookup', NAME, ...words];
    return net.client.exec([process.execPath, MAIN, 'doctor', '--from-client', ...asked], { check: false });
  };

  it('dnsmasq takes the configuration that is printed', async () => {
    const text = await clients('--for', 'dnsmasq');
    expect(text).toContain('dhcp-range=');
    const path = join(resolvers, 'dnsmasq.conf');
    writeFileSync(path, text);
    const { stderr } = await net.gateway.exec(`dnsmasq --test -C ${path}`);
    expect(stderr).toBe('dnsmasq: syntax check OK.\n');
  });

  it('tells a host without an address what it lacks', async () => {
    const { code, stdout } = await fromClient();
    expect(code).toBe(1);
    expect(stdout).toContain('this host is not served as it should be');
    expect(stdout).toMatch(/FAIL {2}default route {2}there is none/);
  });

  it('prints every recipe for the network of the running gateway', async () => {
    const text = await clients();
    expect(text).toContain(
      `# Hosts of 10.77.0.0/24 (on g0): gateway ${GATEWAY_PRIVATE}, DNS ${GATEWAY_PRIVATE}`,
    );
    for (const recipe of ['ip', 'netplan', 'networkd', 'ifupdown', 'cloud-init', 'dnsmasq']) {
      expect(text).toContain(`\n## ${recipe}\n`);
    }
    const [network] = JSON.parse(await clients('--json')) as Record<string, unknown>[];
    expect(network).toMatchObject({
      interface: 'g0',
      gateway: GATEWAY_PRIVATE,
      network: '10.77.0.0/24',
      netmask: '255.255.255.0',
      dns: [GATEWAY_PRIVATE],
      host: '10.77.0.10/24',
    });
  });

  it('its commands let an empty host download, by name', async () => {
    const commands = await clients('--for', 'ip', '--device', 'c0');
    await net.client.shell(`set -e\n${commands}`);
    const { stdout } = await net.client.exec(`curl -sS --max-time 10 http://${NAME}:8000/ends`);
    expect(stdout).toContain(SERVER);
  });

  it('its check says so, and what is wrong once something is', async () => {
    const script = (await clients('--check', '--outside', SERVER, '--lookup', NAME)).trim();
    const { stdout } = await net.client.shell(script);
    expect(stdout.split('\n').map((line) => line.split(':')[0])).toEqual(
      expect.arrayContaining(['ok   route', 'ok   gateway', 'ok   DNS', 'ok   outside', 'ok   MTU']),
    );
    writeFileSync(join(resolvers, 'resolv.conf'), 'nameserver 10.77.0.99\noptions timeout:1 attempts:1\n');
    const broken = await net.client.shell(script, { check: false });
    expect(broken.code).toBe(1);
    expect(broken.stdout).toContain('FAIL DNS');
    writeFileSync(join(resolvers, 'resolv.conf'), `nameserver ${GATEWAY_PRIVATE}\n`);
  });

  it('doctor --from-client, as anybody', async () => {
    const { stdout, code } = await fromClient('--gateway', GATEWAY_PRIVATE);
    expect(stdout).toContain(`through ${GATEWAY_PRIVATE}`);
    expect([stdout.split('\n').at(-2), code]).toEqual(['this host is served by its gateway', 0]);
    const json = JSON.parse((await fromClient('--json')).stdout) as { name: string; status: string }[];
    expect(json.filter(({ status }) => status === 'ok').map(({ name }) => name)).toEqual([
      'default route',
      'gateway',
      'DNS',
      'outside',
      'MTU',
    ]);
    const other = await fromClient('--gateway', '10.77.0.254');
    expect([other.code, other.stdout]).toEqual([1, expect.stringContaining('not to 10.77.0.254')]);
  });

  it('a smaller MTU on the way is told by routers, and no failure', async () => {
    await ip(net.gateway, 'link set g1 mtu 1400');
    try {
      const { stdout } = await fromClient();
      expect(stdout).toMatch(/ok {4}MTU.*1400 bytes on the way/);
    } finally {
      await ip(net.gateway, 'link set g1 mtu 1500');
    }
  });

  it.each([
    [['--host', '10.78.0.5/24'], "not a host's address in a network of g0"],
    [['--host', '10.77.0.5/16'], 'has the prefix length 24'],
    [['--host', `${GATEWAY_PRIVATE}/24`], "that is the gateway's own address"],
    [['--host', '10.77.0.255/24'], "not a host's address"],
    [['--private', 'g7'], 'there is no interface g7'],
  ])('refuses %j', async (words, message) => {
    const { code, stderr } = await natgate.cli('clients', words, { check: false });
    expect(code).toBeGreaterThan(0);
    expect(stderr).toContain(message);
  });

  it('takes an address that is given', async () => {
    expect(await clients('--for', 'networkd', '--host', '10.77.0.5/24')).toContain('Address=10.77.0.5/24\n');
  });
});
