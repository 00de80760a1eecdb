/** Rules, configurations and forwards of NAT, where all is as by default that a test does not name. */
import {
  defaultBehaviour,
  type Forward,
  masqueradeAll,
  matchAll,
  type NatBehaviour,
  type NatConfig,
  type NatRule,
} from '../../src/nat/config.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { PORTS, X } from './nat-bed.ts';

export const GATEWAY = '10.77.0.1';

export function rule(fields: Partial<NatRule>, behaviour: Partial<NatBehaviour> = {}): NatRule {
  return {
    name: 'rule',
    match: matchAll,
    action: 'masquerade',
    addresses: [],
    ports: PORTS,
    ...fields,
    behaviour: { ...defaultBehaviour, ...behaviour },
  };
}

export function nat(fields: Partial<NatConfig>): NatConfig {
  return { ...masqueradeAll(PORTS), ...fields };
}

export function forward(fields: Partial<Forward>): Forward {
  return {
    name: 'web',
    protocol: 6,
    address: 0,
    ports: { first: 80, last: 80 },
    sources: [],
    targets: [{ address: parseAddress(X)!, port: 8080 }],
    affinitySeconds: 0,
    twice: false,
    ...fields,
  };
}
