/** What is wrong with the rules of a firewall, and what can never match: literal files, literal lines. */
import { describe, expect, test } from 'vitest';
import { linesOf, TWO } from './support.ts';

const THIRD = (text: string) => `${TWO}${text}`;

describe('firewall', () => {
  const rules = (text: string) => linesOf(THIRD(`firewall: {rules: [${text}]}`));
  test.each<[string, string[]]>([
    [
      '{from: 10.0.0.1}',
      [
        '3:20: firewall.rules[0]: the rule does nothing; give it an action (accept, drop, reject, log, count or return), or a chain to jump or goto',
      ],
    ],
    [
      '{action: accept, jump: x}',
      [
        '3:43: firewall.rules[0].jump: the rule has action already; keep one of them',
        '3:43: firewall.rules[0].jump: there is no chain x; chains are listed under `firewall.chains`',
      ],
    ],
    [
      '{action: reject, reject-with: tcp-reset}',
      [
        '3:50: firewall.rules[0].reject-with: only TCP can be reset; give `protocol: tcp` as well, or another answer',
      ],
    ],
    [
      '{action: drop, reject-with: net-prohibited}',
      [
        '3:48: firewall.rules[0].reject-with: the rule does not reject; give `action: reject`, or leave it out',
      ],
    ],
    [
      '{action: accept, protocol: tpc}',
      [
        '3:47: firewall.rules[0].protocol: there is no protocol tpc; did you mean tcp? There are icmp, igmp, ipip, tcp, udp, dccp, gre, esp, ah, sctp, udplite',
      ],
    ],
    [
      '{action: accept, protocol: [tcp, 300]}',
      ['3:53: firewall.rules[0].protocol[1]: 300 is not allowed here; give a whole number from 0 to 255'],
    ],
    [
      '{action: accept, protocol: tcp, not-protocol: udp}',
      ['3:66: firewall.rules[0].not-protocol: the rule has protocol already; keep one of them'],
    ],
    [
      '{action: accept, ports: [80, 90-70]}',
      ['3:49: firewall.rules[0].ports[1]: the range 90-70 ends before it begins; e.g. 8000-8010'],
    ],
    [
      '{action: accept, limit: 3}',
      [
        '3:44: firewall.rules[0].limit: 3 is not allowed here; give a rate (10/second, 5/minute …) or a map with rate, burst, per, prefix',
      ],
    ],
    [
      '{action: accept, limit: {rate: 3/fortnight}}',
      [
        '3:51: firewall.rules[0].limit.rate: 3/fortnight is no rate; e.g. 10/second, 5/minute, 100/hour or 20/day',
      ],
    ],
    [
      '{action: drop, packet-limit: 3/second}',
      [
        '3:49: firewall.rules[0].packet-limit: it is about flows that a rule accepts; give it with `action: accept`',
      ],
    ],
    [
      '{action: accept, tcp-flags: SYN}',
      ['3:48: firewall.rules[0].tcp-flags: it is not two lists of flags; e.g. "FIN,SYN,RST,ACK SYN"'],
    ],
    [
      '{action: accept, time: {from: "25:00"}}',
      ['3:50: firewall.rules[0].time.from: 25:00 is no time of day; e.g. "09:00"'],
    ],
    [
      '{action: accept, time: {zone: Europe/Bonn}}',
      ['3:50: firewall.rules[0].time.zone: there is no time zone Europe/Bonn; e.g. Europe/Berlin'],
    ],
    [
      '{action: accept, time: {not-before: 2026-12-24}}',
      [
        '3:56: firewall.rules[0].time.not-before: 2026-12-24 is no date with time and zone; e.g. 2026-12-24T00:00Z',
      ],
    ],
    [
      '{action: accept, from: "@ofice"}',
      [
        '3:43: firewall.rules[0].from: there is no set ofice to name here; name sets under `sets:`; a set lists addresses, not sets',
      ],
    ],
    [
      '{action: accept, state: established}',
      [
        '3:44: firewall.rules[0].state: "established" is not allowed here; did you mean related? There is new, related, dnat or snat',
      ],
    ],
    [
      '{name: a, action: log}, {name: a, action: accept}',
      ['3:51: firewall.rules[1].name: another rule of this chain has the name a; give each its own'],
    ],
    [
      '{action: accept, icmp: echo}',
      ['3:43: firewall.rules[0].icmp: there is no ICMP type echo; did you mean'],
    ],
  ])('%j', (text, lines) => {
    const found = rules(text);
    expect(found).toHaveLength(lines.length);
    lines.forEach((line, i) => void expect(found[i]).toContain(`natgate.yaml:${line}`));
  });

  test('a circle of chains is named where it closes; a chain that nothing leads to is a warning', () => {
    const text = THIRD(
      'firewall:\n  rules: [{jump: a}]\n  chains:\n    a: [{goto: b}]\n    b: [{action: log}, {jump: a}]\n    c: []\n',
    );
    expect(linesOf(text)).toEqual([
      'natgate.yaml:7:31: firewall.chains.b[1].jump: the chain leads back to itself; take one of the rules of the circle out',
      'natgate.yaml:8:5: warning: firewall.chains.c: no rule leads to this chain; jump to it, or leave it out',
    ]);
  });

  test.each<[string, string]>([
    [
      '{action: accept, protocol: icmp, ports: 80}',
      '3:60: warning: firewall.rules[0].ports: its protocols have no ports: the rule never matches',
    ],
    [
      '{action: accept, protocol: udp, tcp-flags: syn}',
      '3:63: warning: firewall.rules[0].tcp-flags: its protocols are not TCP: the rule never matches',
    ],
    [
      '{action: accept, from: []}',
      '3:43: warning: firewall.rules[0].from: the list is empty: the rule never matches',
    ],
    [
      '{action: accept, in: eth7}',
      '3:41: warning: firewall.rules[0].in: natgate does not serve the interface eth7',
    ],
    [
      '{action: drop, from: 10.0.0.0/8}, {action: accept, from: 10.1.0.0/16, protocol: tcp}',
      '3:54: warning: firewall.rules[1]: the rule never matches: rule 1 comes before it and decides',
    ],
    [
      '{action: drop}, {action: drop}',
      '3:36: warning: firewall.rules[1]: the rule never matches: rule 1 comes',
    ],
    [
      '{action: drop, not-from: 10.0.0.1}, {action: accept, not-from: 10.0.0.0/24}',
      '3:56: warning: firewall.rules[1]: the rule never',
    ],
  ])('a rule that never matches is a warning: %j', (text, line) => {
    const found = rules(text);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`natgate.yaml:${line}`);
  });

  test.each([
    '{action: log}, {action: drop}',
    '{action: drop, limit: 5/second}, {action: drop}',
    '{action: drop, from: 10.1.0.0/16}, {action: accept, from: 10.0.0.0/8}',
    '{action: drop, from: 10.0.0.0/8, not-from: 10.1.0.0/16}, {action: accept, from: 10.1.0.0/16}',
    '{action: drop, not-from: 10.0.0.0/24}, {action: accept, not-from: 10.0.0.1}',
    '{action: drop, protocol: tcp}, {action: accept, ports: 80}',
    '{action: drop, time: {days: mon}}, {action: drop}',
    '{action: drop, direction: inbound}, {action: drop, direction: [inbound, outbound]}',
  ])('nothing is said of %j', (text) => {
    expect(rules(text)).toEqual([]);
  });
});
