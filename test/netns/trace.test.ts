/**
 * `natgate trace` of a running gateway: real packets, each told decision by decision. One of each kind that people ask about: accepted, no
 * port left, INVALID, spoofed, above a quota, and from outside to no mapping.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { Explained } from '../../src/gateway/observe/explain.ts';
import { tcpPacket, udpPacket } from '../../src/testing/packets.ts';
import { IP_HDRINCL, SOL_IP } from './support/agent.ts';
import { MAIN } from './support/contender.ts';
import { useGateway } from './support/fixture.ts';
import { natgateOnly } from './support/gateway.ts';
import type { Natgate } from './support/natgate.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER, SERVER_2 } from './support/topology.ts';

const RAW = 255;
const folder = mkdtempSync(join(tmpdir(), 'ngtest-trace-'));
const file = join(folder, 'natgate.yaml');
writeFileSync(
  file,
  `
private: g0
public: g1
ports: 40000-40127
limits: {ports-per-host: 8}
nat-rules:
  - {name: few, to: 198.18.0.3, external-ports: 40120-40120, ports-per-host: 0}
`,
);
afterAll(() => rmSync(folder, { recursive: true }));

natgateOnly('trace', () => {
  const net = useGateway({ args: ['--config', file] });
  const natgate = () => net.gateway as Natgate;

  /** What is told of the first packet that matches, while `cause` makes it come. */
  async function traced(filter: string, cause: () => Promise<unknown>): Promise<Explained> {
    const { name, ns } = natgate();
    const which = ['--name', name, '--state-root', ns.stateRoot];
    const words = [process.execPath, MAIN, 'trace', ...which, '-c', '1', filter];
    const text = ns.spawn(words);
    const json = ns.spawn([...words, '--json']);
    await text.shows(/waiting for packets/, 10_000);
    // That one says nothing until there is a packet.
    const deadline = Date.now() + 15_000;
    while (json.running || text.running) {
      if (Date.now() > deadline)
        throw new Error(`nothing was traced: ${text.stdout}${text.stderr}${json.stderr}`);
      await cause();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect([await text.ended, await json.ended]).toEqual([0, 0]);
    const told = JSON.parse(json.stdout) as Explained;
    if (told.reason !== null) expect(text.stdout).toContain(`dropped   ${told.reason}: ${told.meaning}`);
    return told;
  }
  const steps = ({ steps: all }: Explained) => all.map(({ step, says }) => `${step}: ${says}`);

  async function inject(packet: Uint8Array): Promise<void> {
    const raw = await net.client.raw(RAW);
    await raw.option(SOL_IP, IP_HDRINCL, 1);
    await raw.sendTo(Buffer.from(packet), [SERVER, 0]);
    await raw.close();
  }

  // First, while nobody can have that port.
  it('from outside, to no mapping', async () => {
    const outside = await net.server.udp();
    const told = await traced('side public and dport 40100', () =>
      outside.sendTo(Buffer.from('x'), [GATEWAY_PUBLIC, 40_100]),
    );
    expect(told).toMatchObject({ reason: 'no_flow', interface: 'g1', left: [] });
    await outside.close();
  });

  it('accepted: the mapping, and what changed', async () => {
    const socket = await net.client.udp();
    const told = await traced('dport 5000 and side private', () =>
      socket.sendTo(Buffer.from('x'), [SERVER, 5000]),
    );
    await socket.close();
    expect(told).toMatchObject({ reason: null, verdict: 'left', interface: 'g0', side: 'private' });
    expect(told.left).toHaveLength(1);
    expect(told.left[0]).toMatchObject({ interface: 'g1', side: 'public', made: false });
    expect(told.left[0]!.packet).toMatch(new RegExp(`^udp ${GATEWAY_PUBLIC}:\\d+ > ${SERVER}:5000 `));
    expect(told.left[0]!.changes.join()).toContain(`source ${CLIENT} → ${GATEWAY_PUBLIC}`);
  });

  it('no port is left: which range, and whose rule', async () => {
    const first = await net.client.udp();
    await first.sendTo(Buffer.from('x'), [SERVER_2, 6000]);
    const told = await traced('dport 6000', async () => {
      const other = await net.client.udp();
      await other.sendTo(Buffer.from('x'), [SERVER_2, 6000]).catch(() => {});
      await other.close();
    });
    await first.close();
    expect(told).toMatchObject({ reason: 'no_free_port', resource: expect.stringContaining('40120') });
    expect(told.resource).toContain('few');
  });

  it('INVALID: an ACK of no connection', async () => {
    const told = await traced('proto tcp and dport 7000', () =>
      inject(tcpPacket({ from: `${CLIENT}:7001`, to: `${SERVER}:7000`, flags: 'FA', seq: 1, ack: 1 })),
    );
    expect(told).toMatchObject({ reason: 'invalid_tcp', verdict: 'dropped' });
    expect(steps(told).join()).toContain('INVALID');
  });

  it('spoofed: a source that is not behind that interface', async () => {
    const told = await traced('src 11.1.1.1', () =>
      inject(udpPacket({ from: '11.1.1.1:1', to: `${SERVER}:5000`, payload: 'x' })),
    );
    // With one private interface there is no other that it could be behind (docs/firewall.md).
    expect(told).toMatchObject({ reason: 'martian_source', verdict: 'dropped', left: [] });
    expect(told.remedy).toContain('a network behind a router needs a route to it');
  });

  it('above its quota: how many it has', async () => {
    const sockets = await Promise.all(Array.from({ length: 9 }, () => net.client.udp()));
    const told = await traced('dport 5001 and reason host_port_limit', async () => {
      for (const socket of sockets) await socket.sendTo(Buffer.from('x'), [SERVER, 5001]).catch(() => {});
    });
    expect(told).toMatchObject({
      reason: 'host_port_limit',
      resource: expect.stringContaining(`${CLIENT} has 8 external ports`),
    });
    for (const socket of sockets) await socket.close();
  });
});
