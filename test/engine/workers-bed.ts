/** What the tests of several workers share. */
import { masqueradeAll, type NatBehaviour, type NatConfig } from '../../src/nat/config.ts';
import { udpPacket } from '../../src/testing/index.ts';
import { address } from './bed.ts';
import { Crew } from './crew.ts';
import { PORTS } from './nat-bed.ts';

export const CLIENT = '10.77.0.2';
export const OTHER = '10.77.0.3';
export const SERVER = '203.0.113.9';
export const WORKERS = 4;
export const loose = { fragment: 0, id: 0x3131 };
export const udp = (from: string, dst: string, payload: Uint8Array | string = 'x') =>
  udpPacket({ from, to: dst, payload });

export function withForward(from: number, port: number, more: object = {}, count = 1): NatConfig {
  const forward = {
    name: 'web',
    protocol: 17,
    address: 0,
    ports: { first: from, last: from + count - 1 },
    sources: [],
    targets: [{ address: address(CLIENT), port }],
    affinitySeconds: 0,
    twice: false,
    ...more,
  };
  return { ...masqueradeAll(PORTS), forwards: [forward] };
}

export function crewWith(behaviour: Partial<NatBehaviour>, ports = PORTS): Crew {
  return new Crew({ ports, nat: masqueradeAll(ports, behaviour) });
}
