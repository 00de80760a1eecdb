/** Firewall rules and anti-spoofing, as real clients meet them: what passes, what is refused and how, what is logged and counted. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Agent } from './support/agent.ts';
import { useGateway } from './support/fixture.ts';
import { natgateOnly } from './support/gateway.ts';
import type { Natgate } from './support/natgate.ts';
import { udp } from './support/packets.ts';
import { until } from './support/process.ts';
import {
  CLIENT,
  GATEWAY_PRIVATE,
  GATEWAY_PUBLIC,
  type Namespace,
  SERVER,
  SERVER_2,
} from './support/topology.ts';

const SOL_IP = 0;
const IP_HDRINCL = 3;
/** curl's exit status where nothing answers, and where somebody says no. */
const NO_ANSWER = 28;
const REFUSED = 7;

const folder = mkdtempSync(join(tmpdir(), 'ngtest-firewall-'));
const file = join(folder, 'natgate.yaml');
writeFileSync(
  file,
  `
private: g0
public: g1
forwards:
  - {protocol: tcp, port: 8080, to: ${CLIENT}:8000}
  - {protocol: udp, port: 5300, to: ${CLIENT}:5300}
firewall:
  default: {outbound: reject, inbound: drop, between: accept}
  rules:
    - {name: web, action: accept, protocol: tcp, ports: [8000], direction: outbound, log: "web: "}
    - {name: silent, action: drop, protocol: tcp, ports: [8001]}
    - {name: reset, action: reject, reject-with: tcp-reset, protocol: tcp, ports: [8002]}
    - {name: prohibited, action: reject, reject-with: admin-prohibited, protocol: tcp, ports: [8003]}
    - {name: ping, action: accept, protocol: icmp, icmp: echo-request, to: ${SERVER}}
    - {name: no ping, action: reject, reject-with: host-prohibited, protocol: icmp}
    - {name: published, action: accept, direction: inbound, to: ${CLIENT}, ports: [8000], from: ${SERVER}}
    - {name: datagrams, action: accept, direction: inbound, protocol: udp, to: ${CLIENT}}
`,
);
afterAll(() => rmSync(folder, { recursive: true }));

async function curl(from: Namespace, address: string, source?: string): Promise<number> {
  const bind = source === undefined ? [] : ['--interface', source];
  const command = ['curl', '-sS', '-o', '/dev/null', '--max-time', '1', ...bind, `http://${address}/ends`];
  return (await from.exec(command, { check: false })).code;
}

async function sendRaw(agent: Agent, to: string, packet: Buffer): Promise<void> {
  const raw = await agent.raw(255);
  await raw.option(SOL_IP, IP_HDRINCL, 1);
  await raw.sendTo(packet, [to, 0]);
  await raw.close();
}

natgateOnly('the firewall', () => {
  const net = useGateway({
    args: ['--config', file],
    before: async ({ client, server }) => {
      for (const port of [8000, 8001, 8002, 8003, 8004]) await server.http(port);
      await client.http(8000);
      await client.udpEcho(5300);
    },
  });
  const natgate = () => net.gateway as Natgate;
  const inside = () => net.topology.client;
  const outside = () => net.topology.server;
  const hits = async () => {
    const { firewall } = (await natgate().status()) as unknown as {
      firewall: { name: string; flows: number }[];
    };
    return Object.fromEntries(firewall.map(({ name, flows }) => [name, flows]));
  };
  const drops = async () => (await natgate().status()).drops;

  describe('from inside', () => {
    it('what is accepted passes, and is logged', async () => {
      expect(await curl(inside(), `${SERVER}:8000`)).toBe(0);
      await natgate().process.shows(
        new RegExp(
          `^natgate: web: IN=g0 OUT=g1 SRC=${CLIENT} DST=${SERVER} LEN=60 .*PROTO=TCP SPT=\\d+ DPT=8000 .*SYN$`,
          'm',
        ),
        5000,
      );
      expect(await hits()).toMatchObject({ web: 1, silent: 0 });
    });

    it('what is dropped waits in vain', async () => {
      expect(await curl(inside(), `${SERVER}:8001`)).toBe(NO_ANSWER);
      expect((await hits())['silent']).toBeGreaterThanOrEqual(1);
    });

    it('what is rejected is told at once: by a reset, by ICMP, by the default', async () => {
      await expect(net.client.connect([SERVER, 8002])).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await expect(net.client.connect([SERVER, 8003])).rejects.toMatchObject({ code: 'EHOSTUNREACH' });
      await expect(net.client.connect([SERVER, 8004])).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      for (const port of [8002, 8003, 8004]) expect(await curl(inside(), `${SERVER}:${port}`)).toBe(REFUSED);
      expect(await hits()).toMatchObject({ reset: 2, prohibited: 2, 'default/outbound': 2 });
    });

    it('pings', async () => {
      await inside().exec(`ping -c1 -W2 ${SERVER}`);
      const refused = await inside().exec(`ping -c1 -W2 ${SERVER_2}`, { check: false });
      expect(refused.code).toBe(1);
      expect(refused.stdout).toContain(`From ${GATEWAY_PRIVATE} icmp_seq=1 Destination Host Prohibited`);
    });
  });

  describe('from outside', () => {
    it('a forward is open to whom a rule names', async () => {
      expect(await curl(outside(), `${GATEWAY_PUBLIC}:8080`)).toBe(0);
      expect(await curl(outside(), `${GATEWAY_PUBLIC}:8080`, SERVER_2)).toBe(NO_ANSWER);
      expect(await hits()).toMatchObject({ published: 1 });
      expect((await hits())['default/inbound']).toBeGreaterThanOrEqual(1);
    });

    it('a source that is forged is dropped before any rule', async () => {
      const socket = await net.server.udp();
      await socket.sendTo(Buffer.from('hello'), [GATEWAY_PUBLIC, 5300]);
      expect(await socket.receiveFrom()).toEqual([Buffer.from('hello'), [GATEWAY_PUBLIC, 5300]]);
      const before = await hits();
      for (const src of ['10.9.9.9', '192.168.1.1', CLIENT]) {
        const datagram = udp({ src, dst: GATEWAY_PUBLIC, sport: 53, dport: 5300 }, Buffer.from('forged'));
        await sendRaw(net.server, GATEWAY_PUBLIC, datagram);
      }
      await until('three forged datagrams', async () => ((await drops())['spoofed_source'] ?? 0) >= 3);
      expect((await hits())['datagrams']).toBe(before['datagrams']);
    });
  });

  it('a private host that forges its source is not heard', async () => {
    const before = (await drops())['martian_source'] ?? 0;
    const datagram = udp({ src: '203.0.113.5', dst: SERVER, sport: 53, dport: 53 }, Buffer.from('forged'));
    await sendRaw(net.client, SERVER, datagram);
    await until('a forged datagram', async () => ((await drops())['martian_source'] ?? 0) > before);
  });

  it('natgate status shows the rules that have matched', async () => {
    const { stdout } = await natgate().cli('status');
    expect(stdout).toMatch(/^firewall:$/m);
    expect(stdout).toMatch(/^ {2}web: \d+ flows, /m);
    expect(stdout).not.toContain('default/between');
  });
});
