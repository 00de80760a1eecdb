/** Firewall rules of which only the last matches: each of the others is looked at, and differs in its destination only. */
import {
  defaultFirewall,
  type FirewallConfig,
  type FirewallRule,
  matchAnything,
} from '../../src/policy/firewall-config.ts';

/** 192.0.2.0, host order: where no packet of the benchmark goes. */
const ELSEWHERE = 0xc0000200;

export function rulesOf(count: number): FirewallConfig {
  const rule = (i: number): FirewallRule => ({
    name: `rule ${i + 1}`,
    match: {
      ...matchAnything,
      directions: ['outbound'],
      destinations:
        i === count - 1 ? [] : [{ values: [{ first: ELSEWHERE + i, last: ELSEWHERE + i }], not: false }],
      protocols: { values: [6, 17], not: false },
      destinationPorts: [{ values: [{ first: 1, last: 65_535 }], not: false }],
    },
    action: { kind: 'accept' },
    log: null,
    packetLimit: null,
  });
  const drop = { kind: 'drop' } as const;
  return {
    ...defaultFirewall,
    rules: Array.from({ length: count }, (_, i) => rule(i)),
    policies: { outbound: drop, inbound: drop, between: drop },
  };
}
