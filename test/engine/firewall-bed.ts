/** A bed with a firewall, a forward, and the packets that its tests begin with. */
import { masqueradeAll, type NatConfig } from '../../src/nat/config.ts';
import type { FirewallConfig } from '../../src/policy/firewall-config.ts';
import { describePacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { TCP } from '../policy/firewall/rules.ts';
import { address, Bed, type BedOptions, PRIVATE } from './bed.ts';

export const SERVER = '203.0.113.9';
export const CLIENT = '10.77.0.2';
export const PORTS = { first: 32768, last: 65535 };
export const syn = (port = 443, fields = {}) =>
  tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:${port}`, flags: 'S', seq: 1000, ...fields });
export const query = (port = 53, from = `${CLIENT}:40000`) =>
  udpPacket({ from, to: `${SERVER}:${port}`, payload: 'x' });
export const WEB: NatConfig = {
  ...masqueradeAll(PORTS),
  forwards: [
    {
      name: 'web',
      protocol: TCP,
      address: 0,
      ports: { first: 8080, last: 8080 },
      targets: [{ address: address('10.77.0.9'), port: 80 }],
      sources: [],
      affinitySeconds: 0,
      twice: false,
    },
  ],
};
export const bedOf = (firewall: FirewallConfig, options: BedOptions = {}) =>
  new Bed({ firewall, ...options });
export const lines = (sent: ReturnType<Bed['run']>) =>
  sent.map(({ device, packet }) => `${device === PRIVATE ? 'in' : 'out'} ${describePacket(packet)}`);
