/** Another configuration on a running engine: timeouts, helpers, slices, and several workers. */
import { describe, expect, it } from 'vitest';
import type { Reconfigured } from '../../src/engine/reconfigure.ts';
import { numberRules } from '../../src/gateway/reload/rule-numbers.ts';
import { defaultFirewall } from '../../src/policy/firewall-config.ts';
import { readPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { Crew } from './crew.ts';
import { FTP, forward, Lab, masquerade, nat, pool, REMOTE, shown, X, Y } from './reconfigure-bed.ts';

describe('the rest', () => {
  it('new timeouts hold for the flows that are there', () => {
    const lab = new Lab(nat([masquerade]), { timeouts: { udp: 300 } });
    lab.out(X);
    lab.gateway.advance(8000);
    lab.reconfigure(nat([masquerade]), { timeouts: { udp: 10 } });
    expect(lab.gateway.flows()).toMatchObject([{ timeoutSeconds: 2 }]);
    lab.gateway.advance(4000);
    expect(lab.gateway.flows()).toEqual([]);
  });

  it('what a helper has changed goes on being put right after the helper has gone', () => {
    const lab = new Lab(nat([masquerade]), { helpers: [FTP] });
    const [client, server] = ['10.77.0.2:40000', '198.18.0.2:21'];
    const { gateway } = lab;
    gateway.sendPrivate(tcpPacket({ from: client, to: server, flags: 'S', seq: 100 }));
    const external = readPacket(gateway.receivePublic()[0]!).from;
    gateway.sendPublic(tcpPacket({ from: server, to: external, flags: 'SA', seq: 500, ack: 101 }));
    gateway.sendPrivate(tcpPacket({ from: client, to: server, flags: 'A', seq: 101, ack: 501 }));
    const command = 'PORT 10,77,0,2,156,65\r\n';
    gateway.sendPrivate(
      tcpPacket({ from: client, to: server, flags: 'PA', seq: 101, ack: 501, payload: command }),
    );
    const sent = readPacket(gateway.receivePublic().at(-1)!);
    const growth = sent.payload.length - command.length;
    expect(growth).not.toBe(0);
    gateway.receivePrivate();
    expect(
      lab.reconfigure(nat([pool('new', '10.77.0.77/32', '198.18.1.1'), masquerade]), { helpers: [] }),
    ).toEqual({
      ended: [],
      kept: 1,
    });
    const ack = 101 + command.length + growth;
    gateway.sendPublic(tcpPacket({ from: server, to: external, flags: 'A', seq: 501, ack }));
    expect(readPacket(gateway.receivePrivate()[0]!).ack).toBe(101 + command.length);
    gateway.sendPrivate(
      tcpPacket({
        from: client,
        to: server,
        flags: 'PA',
        seq: 101 + command.length,
        ack: 501,
        payload: 'QUIT\r\n',
      }),
    );
    expect(readPacket(gateway.receivePublic()[0]!).seq).toBe(ack);
    // A connection that begins now is not read.
    gateway.sendPrivate(tcpPacket({ from: '10.77.0.2:40001', to: server, flags: 'S', seq: 1 }));
    expect(gateway.engine.helpers.reads(2)).toBe(false);
  });

  it('is in force at once; the flows are looked at in slices', () => {
    const lab = new Lab(nat([pool('a', '10.77.0.0/24', '198.18.1.1'), masquerade]), { flows: 16_384 });
    for (let i = 0; i < 1200; i++) lab.out(`10.77.0.2:${1024 + i}`);
    expect(lab.reconfigure(nat([masquerade]), {}, false)).toBeNull();
    expect(lab.gateway.flows()).toHaveLength(1200);
    expect(lab.out(Y)).toMatch(/^198\.18\.0\.1:/);
    expect(lab.gateway.flows().length).toBeLessThan(1200);
    expect(lab.gateway.engine.reconfigurer.isBusy).toBe(true);
    while (lab.gateway.engine.reconfigurer.isBusy) lab.gateway.engine.tick(lab.gateway.now);
    expect(lab.gateway.flows()).toHaveLength(1);
    expect(lab.ended).toHaveLength(1200);
  });
});

it('two workers: each ends its own, and the rest goes on', () => {
  const [a, b] = [forward('a', 80, '10.77.0.2:8000'), forward('b', 81, '10.77.0.2:8001')];
  const first = nat([masquerade], [a, b]);
  const crew = new Crew({ workers: 2, flows: 256, nat: first });
  const arriving = (port: number, from: number) =>
    udpPacket({ from: `198.18.0.2:${from}`, to: `198.18.0.1:${port}`, payload: 'x' });
  const leaving = (from: number) => udpPacket({ from: `10.77.0.2:${from}`, to: REMOTE, payload: 'x' });
  const lines = [5000, 5002].map((from) => shown(crew.out(leaving(from)).map(({ packet }) => packet)));
  for (let from = 1; from <= 8; from++) for (const port of [80, 81]) crew.in(arriving(port, from));
  const to = numberRules(first.rules, nat([pool('new', '10.77.0.77/32', '198.18.1.1'), masquerade], [a]));
  const results: Reconfigured[] = [];
  const rest = { firewall: defaultFirewall, timeouts: {}, helpers: [], clampMss: true };
  for (const engine of crew.engines) {
    const done = (result: Reconfigured) => void results.push(result);
    engine.reconfigurer.apply({ nat: to, ...rest, evict: 'never', unsolicited: 'silent' }, 0, done);
  }
  crew.pass(1000);
  expect(results).toHaveLength(2);
  expect(results.flatMap(({ ended }) => ended)).toEqual([{ kind: 'forward', name: 'b', count: 8 }]);
  expect(results.reduce((sum, { kept }) => sum + kept, 0)).toBe(10);
  expect([5000, 5002].map((from) => shown(crew.out(leaving(from)).map(({ packet }) => packet)))).toEqual(
    lines,
  );
  expect(crew.in(arriving(80, 1))).toHaveLength(1);
  expect(crew.in(arriving(81, 1))).toHaveLength(0);
});
