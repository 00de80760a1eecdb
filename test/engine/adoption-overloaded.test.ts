/** Ports that several hosts have: an engine that takes over gives each flow back the mapping that it had. */
import { expect, test } from 'vitest';
import { masqueradeAll } from '../../src/nat/config.ts';
import { udpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { Bed, EXTERNAL } from './bed.ts';

const PORTS = { first: 33_000, last: 33_001 };
const NAT = masqueradeAll(PORTS, { filtering: 'endpoint-independent' });

test('a flow from outside by the second port of an endpoint lives on', () => {
  const before = new Bed({ ports: PORTS, nat: NAT, timeouts: { udp: 30 } });
  const remotes = ['203.0.113.1:53', '203.0.113.2:53'];
  // Both ports are taken, each towards one remote.
  before.out(udpPacket({ from: '10.77.0.2:33000', to: remotes[0]! }));
  before.out(udpPacket({ from: '10.77.0.4:33001', to: remotes[1]! }));
  before.pass(20_000);
  // One that shares a port cannot reach by it whom the other host talks to: towards that one it has a second port.
  const sent = remotes.map((to) => decode(before.out(udpPacket({ from: '10.77.0.3:5000', to }))[0]!.packet));
  const ports = sent.map(({ sport }) => sport);
  expect(new Set(ports)).toEqual(new Set([33_000, 33_001]));
  // Those who had the ports first are gone, so that both lead to it.
  before.pass(15_000);
  const answers = ports.map((port, i) => {
    const [arrived] = before.in(udpPacket({ from: `203.0.113.9:${99 + i}`, to: `${EXTERNAL}:${port}` }));
    return decode(arrived!.packet).dst;
  });
  expect(answers).toEqual(['10.77.0.3', '10.77.0.3']);

  const bed = new Bed({ after: before, ports: PORTS, nat: NAT, timeouts: { udp: 30 } });
  expect(bed.totals['flows_lost_at_restart']).toBe(0);
  expect(bed.flows()).toEqual(before.flows());
  bed.checkInvariants(PORTS);
});
