/** The way back: rules of a configuration, and the configuration of those rules again. */
import { expect, it } from 'vitest';
import { examine } from '../../../src/gateway/config/load.ts';
import { exportRules } from '../../../src/gateway/iptables/export.ts';
import { importRules } from '../../../src/gateway/iptables/import.ts';
import type { RunOptions } from '../../../src/gateway/options.ts';

function optionsOf(text: string): RunOptions {
  const { options, problems } = examine({
    name: 'x',
    stateRoot: '/run/x',
    flags: {},
    file: { path: 'natgate.yaml', text },
  });
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return options!;
}

const HERE = { head: [], address: '203.0.113.2' };

const FILE = `
private: eth1
public: eth0
nat-rules:
  - {to: 10.8.0.0/16, translate: none}
  - {from: 192.168.2.0/24, translate: [203.0.113.20-203.0.113.22]}
one-to-one: [{external: 203.0.113.9, internal: 192.168.1.9}]
forwards:
  - {protocol: tcp, port: 8080, to: 192.168.1.10:80}
  - {protocol: udp, port: 5000-5009, to: 192.168.1.10:6000, from: [198.51.100.0/24]}
firewall:
  default: {outbound: drop}
  chains:
    web: [{action: return, from: 192.168.1.66}, {action: accept, protocol: tcp, ports: [80, 443]}]
  rules:
    - {jump: web, in: eth1}
    - {name: pings, action: accept, protocol: icmp, icmp: echo-request, limit: 5/second}
    - {action: reject, reject-with: tcp-reset, protocol: tcp, from: 192.168.1.0/24, log: "no: "}
`;

it('is what iptables-restore reads', () => {
  const { text, notCarried } = exportRules(optionsOf(FILE), 'iptables', HERE);
  expect(notCarried).toEqual([]);
  expect(text.split('\n').filter((line) => /^(\*|:|-A)/.test(line))).toEqual([
    '*mangle',
    '-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu',
    '*nat',
    '-A PREROUTING -i eth0 -d 203.0.113.2 -p tcp --dport 8080 -j DNAT --to-destination 192.168.1.10:80',
    '-A PREROUTING -i eth0 -d 203.0.113.2 -s 198.51.100.0/24 -p udp --dport 5000:5009 -j DNAT --to-destination 192.168.1.10:6000-6009/5000',
    '-A PREROUTING -d 203.0.113.9 -j DNAT --to-destination 192.168.1.9',
    '-A POSTROUTING -o eth0 -d 10.8.0.0/16 -j ACCEPT',
    '-A POSTROUTING -s 192.168.1.9 -o eth0 -j SNAT --to-source 203.0.113.9',
    '-A POSTROUTING -o eth0 -s 192.168.2.0/24 -j SNAT --to-source 203.0.113.20-203.0.113.22 --persistent',
    '-A POSTROUTING -o eth0 -j MASQUERADE',
    '*filter',
    ':FORWARD DROP [0:0]',
    ':web - [0:0]',
    '-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT',
    '-A FORWARD -p icmp -m conntrack --ctstate RELATED -j ACCEPT',
    '-A FORWARD -m conntrack --ctstate INVALID -j DROP',
    '-A FORWARD -i eth0 -m conntrack ! --ctstate DNAT,RELATED -j DROP',
    '-A web -s 192.168.1.66 -j RETURN',
    '-A web -p tcp -m multiport --destination-ports 80,443 -j ACCEPT',
    '-A FORWARD -i eth1 -j web',
    '-A FORWARD -p icmp -m icmp --icmp-type 8 -m limit --limit 5/second --limit-burst 5 -m comment --comment "pings" -j ACCEPT',
    '-A FORWARD -s 192.168.1.0/24 -p tcp -j LOG --log-prefix "no: "',
    '-A FORWARD -s 192.168.1.0/24 -p tcp -j REJECT --reject-with tcp-reset',
    '-A FORWARD -i eth0 -o eth1 -j ACCEPT',
    '-A FORWARD -i eth1 -o eth1 -j ACCEPT',
  ]);
});

it('imports as what it was', () => {
  const before = optionsOf(FILE);
  const { text } = exportRules(before, 'iptables', HERE);
  const imported = importRules(text, {
    file: 'rules',
    private: ['eth1'],
    public: 'eth0',
    addresses: () => ['203.0.113.2'],
    sets: null,
  });
  expect(imported.notCarried).toEqual([]);
  const after = optionsOf(imported.text);
  const plain = ({ match, action, addresses }: RunOptions['nat']['rules'][number]) => ({
    match,
    action,
    addresses,
  });
  expect(after.nat.rules.map(plain)).toEqual(before.nat.rules.map(plain));
  expect(after.nat.prefixes.map(({ internal, external }) => ({ internal, external }))).toEqual(
    before.nat.prefixes.map(({ internal, external }) => ({ internal, external })),
  );
  const ends = ({ protocol, address, ports, sources, targets }: RunOptions['nat']['forwards'][number]) => ({
    protocol,
    address,
    ports,
    sources,
    targets,
  });
  expect(after.nat.forwards.map(ends)).toEqual(before.nat.forwards.map(ends));
  expect(after.firewall.policies.outbound).toEqual({ kind: 'drop' });
  expect(after.firewall.policies.inbound).toEqual({ kind: 'accept' });
  const actions = (options: RunOptions) =>
    Object.values(options.firewall.chains)
      .flat()
      .map(({ action, match }) => ({ action, match }));
  expect(actions(after)).toEqual(actions(before));
});

it('says what netfilter has no words for', () => {
  const { notCarried } = exportRules(
    optionsOf(
      'private: eth1\npublic: eth0\nfirewall: {rules: [{action: accept, packet-limit: 5/second}, {action: drop, not-from: [10.0.0.1, 10.0.0.9]}]}',
    ),
    'iptables',
    HERE,
  );
  expect(notCarried).toEqual([
    'rule rule 1: a limit on packets of connections',
    'rule rule 2: several addresses that it must not be',
  ]);
});
