/** What the firewall of a file means. */
import { expect, test } from 'vitest';
import { matchAnything } from '../../../src/policy/firewall-config.ts';
import { hostOrder, parseAddress, parsePrefix } from '../../../src/wire/address.ts';
import { optionsOf, TWO } from './support.ts';

const address = (text: string) => parseAddress(text)!;
const prefix = (text: string) => parsePrefix(text)!;
const ordered = (text: string) => hostOrder(address(text)) >>> 0;
const range = (first: string, last = first) => ({ first: ordered(first), last: ordered(last) });

test('firewall: all that a rule can say', () => {
  const text = `${TWO}
sets: {office: [10.0.0.0/24, 10.0.1.5-10.0.1.9]}
firewall:
  anti-spoofing: false
  trusted-outside: [100.64.0.0/10]
  default: {inbound: reject, between: drop}
  chains:
    web:
      - {action: return, not-from: "@office"}
      - {name: limited, action: accept, packet-limit: {rate: 600/minute, burst: 20, per: source, prefix: 24}}
  rules:
    - {name: known, jump: web, direction: outbound, in: eth1, not-out: [eth1], protocol: tcp, ports: [80, 443, 8000-8010]}
    - {action: reject, reject-with: admin-prohibited, from: ["@office", 192.0.2.1], not-from: 10.0.0.7, to: 0.0.0.0/0, log: "no "}
    - {action: reject}
    - {action: log, protocol: icmp, icmp: [echo-request, 3/4, 11], state: [new, dnat]}
    - {goto: web, source-ports: 0-1023, not-ports: 25, tcp-flags: syn, not-state: snat}
    - {action: drop, not-tcp-flags: "ALL NONE"}
    - {action: accept, limit: 90/minute}
    - {action: count, limit: {rate: 10/s, burst: 7, per: source-and-destination, prefix: 16, above: true}}
    - {action: drop, connections: {count: 20}}
    - {action: drop, connections: {count: 20, per: rule, prefix: 8, above: false}}
    - {action: drop, time: {days: [sat, sun, sat], from: "22:30", to: "06:00", zone: Europe/Berlin, not-before: 2026-12-24T00:00Z, not-after: 2026-12-27T00:00:00+01:00}}
    - {action: drop, time: {to: "24:00"}}
`;
  const { firewall } = optionsOf(text);
  expect(firewall).toMatchObject({
    antiSpoofing: false,
    trustedOutside: [prefix('100.64.0.0/10')],
    policies: {
      outbound: { kind: 'accept' },
      inbound: { kind: 'reject', with: 'port-unreachable' },
      between: { kind: 'drop' },
    },
  });
  const office = [range('10.0.0.0', '10.0.0.255'), range('10.0.1.5', '10.0.1.9')];
  const rule = (name: string, action: object, match: object = {}, rest: object = {}) => ({
    name,
    action,
    match: { ...matchAnything, ...match },
    log: null,
    packetLimit: null,
    ...rest,
  });
  expect(firewall.chains).toEqual({
    web: [
      rule('rule 1', { kind: 'return' }, { sources: [{ values: office, not: true }] }),
      rule(
        'limited',
        { kind: 'accept' },
        {},
        {
          packetLimit: {
            perSecond: 10,
            burst: 20,
            grouping: { by: 'source', prefixLength: 24 },
            above: false,
          },
        },
      ),
    ],
  });
  const port = (first: number, last = first) => ({ first, last });
  const each = { by: 'rule', prefixLength: 32 };
  expect(firewall.rules).toEqual([
    rule(
      'known',
      { kind: 'jump', chain: 'web' },
      {
        directions: ['outbound'],
        inInterfaces: { values: ['eth1'], not: false },
        outInterfaces: { values: ['eth1'], not: true },
        protocols: { values: [6], not: false },
        destinationPorts: [{ values: [port(80), port(443), port(8000, 8010)], not: false }],
      },
    ),
    rule(
      'rule 2',
      { kind: 'reject', with: 'admin-prohibited' },
      {
        sources: [
          { values: [...office, range('192.0.2.1')], not: false },
          { values: [range('10.0.0.7')], not: true },
        ],
        destinations: [{ values: [range('0.0.0.0', '255.255.255.255')], not: false }],
      },
      { log: 'no ' },
    ),
    rule('rule 3', { kind: 'reject', with: 'port-unreachable' }),
    rule(
      'rule 4',
      { kind: 'log' },
      {
        protocols: { values: [1], not: false },
        icmp: {
          values: [
            { type: 8, code: -1 },
            { type: 3, code: 4 },
            { type: 11, code: -1 },
          ],
          not: false,
        },
        states: { values: ['new', 'dnat'], not: false },
      },
      { log: '' },
    ),
    rule(
      'rule 5',
      { kind: 'goto', chain: 'web' },
      {
        sourcePorts: [{ values: [port(0, 1023)], not: false }],
        destinationPorts: [{ values: [port(25)], not: true }],
        tcpFlags: { mask: 0x17, value: 0x02, not: false },
        states: { values: ['snat'], not: true },
      },
    ),
    rule('rule 6', { kind: 'drop' }, { tcpFlags: { mask: 0x3f, value: 0, not: true } }),
    rule('rule 7', { kind: 'accept' }, { limit: { perSecond: 1.5, burst: 5, grouping: each, above: false } }),
    rule(
      'rule 8',
      { kind: 'count' },
      {
        limit: {
          perSecond: 10,
          burst: 7,
          grouping: { by: 'source-and-destination', prefixLength: 16 },
          above: true,
        },
      },
    ),
    rule(
      'rule 9',
      { kind: 'drop' },
      {
        connections: { count: 20, grouping: { by: 'source', prefixLength: 32 }, above: true },
      },
    ),
    rule(
      'rule 10',
      { kind: 'drop' },
      {
        connections: { count: 20, grouping: { by: 'rule', prefixLength: 8 }, above: false },
      },
    ),
    rule(
      'rule 11',
      { kind: 'drop' },
      {
        schedule: {
          days: [0, 6],
          from: 81_000,
          to: 21_600,
          zone: 'Europe/Berlin',
          notBefore: Date.UTC(2026, 11, 24),
          notAfter: Date.UTC(2026, 11, 26, 23),
        },
      },
    ),
    rule(
      'rule 12',
      { kind: 'drop' },
      {
        schedule: { days: [], from: 0, to: 86_400, zone: 'UTC', notBefore: -Infinity, notAfter: Infinity },
      },
    ),
  ]);
});
