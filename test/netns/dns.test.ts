/** DNS by the gateway's private address, as dig and the C library meet it: two resolvers on the internet, one that dies. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { natgateOnly } from './support/gateway.ts';
import { Natgate } from './support/natgate.ts';
import { type Background, until } from './support/process.ts';
import {
  CLIENT,
  createTopology,
  GATEWAY_PRIVATE,
  GATEWAY_PUBLIC,
  ip,
  type Namespace,
  SERVER,
  SERVER_2,
  type Topology,
} from './support/topology.ts';

const SCRIPT = fileURLToPath(new URL('./support/dns-server.mjs', import.meta.url));
/** What the one and the other resolver answer. */
const FIRST = '192.0.2.1';
const SECOND = '192.0.2.2';
/** From the first silence to the other resolver: docs/private-side.md says four seconds. */
const FAILOVER_MS = 15_000;

async function dnsServer(ns: Namespace, address: string, answer: string): Promise<Background> {
  const server = ns.spawn([process.execPath, SCRIPT, address, answer]);
  await server.shows(/^ready$/m);
  return server;
}

async function dig(from: Namespace, words: string): Promise<{ code: number; text: string }> {
  const { code, stdout } = await from.exec(`dig +tries=1 +time=2 ${words}`, { check: false });
  return { code, text: stdout };
}

const answerOf = async (from: Namespace, words = '') =>
  (await dig(from, `@${GATEWAY_PRIVATE} +short who.test ${words}`)).text.trim();

natgateOnly('DNS by the private address', () => {
  let net: Topology;
  let natgate: Natgate;
  let first: Background;
  let second: Background;
  beforeAll(async () => {
    net = await createTopology();
    first = await dnsServer(net.server, SERVER, FIRST);
    second = await dnsServer(net.server, SERVER_2, SECOND);
    natgate = await Natgate.start(net.gateway, ['--dns', `${SERVER},${SERVER_2}`]);
  });
  afterAll(async () => {
    try {
      await natgate?.stop();
    } finally {
      await net?.destroy();
    }
  });

  it('answers UDP and TCP from the address that was asked', async () => {
    for (const words of ['', '+tcp']) {
      const { text } = await dig(net.client, `@${GATEWAY_PRIVATE} who.test ${words}`);
      expect(text).toContain(FIRST);
      expect(text).toMatch(new RegExp(`SERVER: ${GATEWAY_PRIVATE}#53`));
      expect(text).toContain('status: NOERROR');
    }
  });

  it('the resolver sees the gateway', async () => {
    const { text } = await dig(net.client, `@${GATEWAY_PRIVATE} +short TXT who.test`);
    expect(text.trim()).toBe(`"${GATEWAY_PUBLIC}"`);
  });

  it('a large answer comes in fragments, or by TCP', async () => {
    const whole = await dig(net.client, `@${GATEWAY_PRIVATE} +short +bufsize=4096 +ignore TXT large.test`);
    expect(whole.text.replace(/[" \n]/g, '')).toBe('x'.repeat(2500));
    // Too large for 512 bytes: truncated, and asked for again by TCP.
    const again = await dig(net.client, `@${GATEWAY_PRIVATE} +short +noedns TXT large.test`);
    expect(again.text.replace(/[" \n]/g, '')).toBe('x'.repeat(2500));
  });

  it('is all that a client needs: the C library finds names', async () => {
    const folder = join('/etc/netns', net.client.name);
    mkdirSync(folder, { recursive: true });
    try {
      writeFileSync(join(folder, 'resolv.conf'), `nameserver ${GATEWAY_PRIVATE}\n`);
      const { stdout } = await net.client.exec('getent ahostsv4 www.who.test');
      expect(stdout).toContain(FIRST);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('leaves the host its own ports there, and answers nobody outside', async () => {
    const host = await Agent.start(net.gateway);
    await host.http(8053, GATEWAY_PRIVATE);
    await net.client.exec(`curl -sS -o /dev/null --max-time 5 http://${GATEWAY_PRIVATE}:8053/ends`);
    expect((await dig(net.server, `@${GATEWAY_PUBLIC} who.test`)).code).not.toBe(0);
  });

  it('goes on through a restart of the engine', async () => {
    const enginePid = await natgate.enginePid();
    process.kill(enginePid, 'SIGKILL');
    await natgate.process.shows(/forwards again/, 15_000);
    expect(await answerOf(net.client)).toBe(FIRST);
  });

  it('a resolver that dies is left for the next one, and taken again when it is back', async () => {
    await first.stop('SIGKILL');
    // One and the same port all the time: its flow must not stay with the dead one.
    const ask = () => answerOf(net.client, `-b ${CLIENT}#5353`);
    await until('an answer of the other one', async () => (await ask()) === SECOND, FAILOVER_MS);
    await natgate.process.shows(new RegExp(`DNS: ${SERVER} does not answer; queries go to ${SERVER_2}`));
    expect(await answerOf(net.client, '+tcp')).toBe(SECOND);
    first = await dnsServer(net.server, SERVER, FIRST);
    await until('the first one again', async () => (await answerOf(net.client)) === FIRST, FAILOVER_MS);
    await natgate.process.shows(new RegExp(`DNS: ${SERVER} answers again, queries go there`));
  });

  it('one that falls silent is left as well: a client that asks again is answered', async () => {
    await ip(net.server, `addr del ${SERVER_2}/24 dev s0`);
    await ip(net.server, `addr add ${SERVER_2}/24 dev s0`);
    await net.server.exec(`iptables -w -A INPUT -d ${SERVER} -p udp --dport 53 -j DROP`);
    const { code, stdout } = await net.client.exec(
      `dig +tries=3 +time=5 +short @${GATEWAY_PRIVATE} who.test`,
      { check: false },
    );
    expect([code, stdout.trim().split('\n').at(-1)]).toEqual([0, SECOND]);
    await net.server.exec('iptables -w -F INPUT');
    expect(second.running).toBe(true);
  });

  it('status names nothing that was dropped', async () => {
    const { drops } = await natgate.status();
    expect(drops['not_public'] ?? 0).toBe(0);
    expect(drops['spoofed_source'] ?? 0).toBe(0);
  });
});

natgateOnly('DNS by the resolvers of /etc/resolv.conf', () => {
  let net: Topology;
  let natgate: Natgate;
  let folder: string;
  beforeAll(async () => {
    net = await createTopology();
    folder = join('/etc/netns', net.gateway.name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'resolv.conf'), `nameserver 127.0.0.1\nnameserver ${SERVER}\n`);
    await dnsServer(net.server, SERVER, FIRST);
    await dnsServer(net.server, SERVER_2, SECOND);
    natgate = await Natgate.start(net.gateway, ['--dns', 'system']);
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    try {
      await natgate?.stop();
    } finally {
      await net?.destroy();
    }
  });

  it('follows the file', async () => {
    expect(await answerOf(net.client)).toBe(FIRST);
    writeFileSync(join(folder, 'resolv.conf'), `nameserver ${SERVER_2}\n`);
    await until('the other resolver', async () => (await answerOf(net.client)) === SECOND, FAILOVER_MS);
  });
});

natgateOnly('a resolver of the private side', () => {
  let net: Topology;
  let natgate: Natgate;
  beforeAll(async () => {
    net = await createTopology();
    await ip(net.client, 'addr add 10.77.0.53/24 dev c0');
    await dnsServer(net.client, '10.77.0.53', FIRST);
    natgate = await Natgate.start(net.gateway, ['--dns', '10.77.0.53']);
  });
  afterAll(async () => {
    try {
      await natgate?.stop();
    } finally {
      await net?.destroy();
    }
  });

  it('is asked by the gateway, and answers through it', async () => {
    for (const words of ['', '+tcp']) {
      const { text } = await dig(net.client, `@${GATEWAY_PRIVATE} -b ${CLIENT} who.test ${words}`);
      expect(text).toContain(FIRST);
    }
    const { text } = await dig(net.client, `@${GATEWAY_PRIVATE} -b ${CLIENT} +short TXT who.test`);
    expect(text.trim()).toBe(`"${GATEWAY_PRIVATE}"`);
  });
});

natgateOnly('DNS that cannot be', () => {
  let net: Topology;
  beforeAll(async () => {
    net = await createTopology();
  });
  afterAll(() => net?.destroy());

  const refusal = async (dns: string) => {
    const natgate = Natgate.launch(net.gateway, ['--private', 'g0', '--public', 'g1', '--dns', dns]);
    expect(await natgate.process.ended).toBe(1);
    return natgate.process.stderr;
  };

  describe('is refused', () => {
    it('where a socket of the host answers already', async () => {
      for (const address of ['0.0.0.0', GATEWAY_PRIVATE]) {
        const server = await dnsServer(net.gateway, address, FIRST);
        expect(await refusal(SERVER)).toMatch(/a socket of this host has UDP port 53 of /);
        await server.stop('SIGKILL');
      }
      const loopback = await dnsServer(net.gateway, '127.0.0.53', FIRST);
      const natgate = await Natgate.start(net.gateway, ['--dns', SERVER]);
      await natgate.stop();
      await loopback.stop('SIGKILL');
    });

    it('to an address of the host’s own', async () => {
      expect(await refusal(GATEWAY_PUBLIC)).toContain(`${GATEWAY_PUBLIC} is an address of this host`);
    });
  });
});

natgateOnly('DNS by a reload', () => {
  let net: Topology;
  beforeAll(async () => {
    net = await createTopology();
    await dnsServer(net.server, SERVER, FIRST);
    await dnsServer(net.server, SERVER_2, SECOND);
  });
  afterAll(async () => {
    await net?.destroy();
  });

  it('is switched on, over to another resolver, and off', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'natgate-dns-'));
    const path = join(folder, 'natgate.yaml');
    const file = (dns: string) => writeFileSync(path, `private: g0\npublic: g1\n${dns}`);
    file('');
    const natgate = await Natgate.start(net.gateway, ['--config', path]);
    try {
      expect((await dig(net.client, `@${GATEWAY_PRIVATE} who.test`)).code).not.toBe(0);
      file(`dns: [${SERVER}]\n`);
      expect((await natgate.cli('reload')).code).toBe(0);
      expect(await answerOf(net.client)).toBe(FIRST);
      file(`dns: [${SERVER_2}]\n`);
      expect((await natgate.cli('reload')).code).toBe(0);
      expect(await answerOf(net.client)).toBe(SECOND);
      file('');
      expect((await natgate.cli('reload')).code).toBe(0);
      expect((await dig(net.client, `@${GATEWAY_PRIVATE} who.test`)).code).not.toBe(0);
    } finally {
      await natgate.stop();
      rmSync(folder, { recursive: true });
    }
  });

  it('is not switched on where a socket of the host answers already', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'natgate-dns-'));
    const path = join(folder, 'natgate.yaml');
    const file = (text: string) => writeFileSync(path, `private: g0\npublic: g1\n${text}`);
    file('');
    const host = await dnsServer(net.gateway, GATEWAY_PRIVATE, SECOND);
    const natgate = await Natgate.start(net.gateway, ['--config', path]);
    try {
      file(`dns: [${SERVER}]\n`);
      const plan = await natgate.cli('plan', [], { check: false });
      expect(plan.stdout + plan.stderr).toContain('a socket of this host has UDP port 53 of 10.77.0.1');
      const refused = await natgate.cli('reload', [], { check: false });
      expect(refused.code).toBe(1);
      expect(refused.stdout + refused.stderr).toContain('a socket of this host has UDP port 53 of 10.77.0.1');
      expect(await answerOf(net.client)).toBe(SECOND);
      await host.stop('SIGKILL');
      expect((await natgate.cli('reload')).code).toBe(0);
      expect(await answerOf(net.client)).toBe(FIRST);
      // A change of something else does not ask again.
      const late = await dnsServer(net.gateway, GATEWAY_PRIVATE, SECOND);
      file(`dns: [${SERVER}]\ntimeouts: {udp: 31}\n`);
      expect((await natgate.cli('reload')).code).toBe(0);
      await late.stop('SIGKILL');
    } finally {
      await natgate.stop();
      rmSync(folder, { recursive: true });
    }
  });
});
