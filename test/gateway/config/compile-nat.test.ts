/** What the NAT rules of a file mean. */
import { describe, expect, test } from 'vitest';
import { matchAll } from '../../../src/nat/config.ts';
import { parseAddress, parsePrefix } from '../../../src/wire/address.ts';
import { linesOf, optionsOf, TWO } from './support.ts';

const address = (text: string) => parseAddress(text)!;
const prefix = (text: string) => parsePrefix(text)!;

describe('nat-rules', () => {
  const text = `${TWO}
external: 203.0.113.8
sets: {office: [192.168.1.4-192.168.1.7, 192.168.1.16/28]}
nat: {mapping: adm, on-address-change: keep}
nat-rules:
  - name: voice
    from: "@office"
    to: [198.51.100.0/24, 192.0.2.1-192.0.2.2]
    protocol: [udp, 132]
    ports: [5060, 10000-20000]
    translate: [203.0.113.9, 203.0.113.10]
    external-ports: 10000-59999
    mapping: eim
    quarantine: 0
    ports-per-host: 7
    on-address-change: remap
  - {from: 10.0.0.0/8, translate: masquerade, pooling: paired}
  - {to: 10.9.0.0/16, translate: none}
  - {protocol: icmp}
`;
  test('come between the exemptions and the rule for all else, each with its own behaviour', () => {
    const { rules } = optionsOf(`${text}exempt: [10.8.0.0/16]\n`).nat;
    expect(rules.map(({ name, action }) => [name, action])).toEqual([
      ['exempt 10.8.0.0/16', 'none'],
      ['voice', 'pool'],
      ['nat-rule 2', 'masquerade'],
      ['nat-rule 3', 'none'],
      ['nat-rule 4', 'pool'],
      ['pool', 'pool'],
    ]);
    const [, voice, second, , fourth, rest] = rules;
    expect(voice!.match).toEqual({
      sources: [prefix('192.168.1.4/30'), prefix('192.168.1.16/28')],
      destinations: [prefix('192.0.2.1/32'), prefix('192.0.2.2/32'), prefix('198.51.100.0/24')],
      protocols: [17, 132],
      destinationPorts: [
        { first: 5060, last: 5060 },
        { first: 10_000, last: 20_000 },
      ],
    });
    expect(voice).toMatchObject({
      addresses: [address('203.0.113.9'), address('203.0.113.10')],
      ports: { first: 10_000, last: 59_999 },
      behaviour: { mapping: 'endpoint-independent', quarantineSeconds: 0, portsPerHost: 7 },
      onAddressChange: 'remap',
    });
    expect(second).toMatchObject({
      addresses: [],
      ports: { first: 32_768, last: 65_535 },
      behaviour: { mapping: 'address-dependent', quarantineSeconds: 120, portsPerHost: 0 },
      onAddressChange: 'keep',
    });
    expect(fourth).toMatchObject({
      addresses: [address('203.0.113.8')],
      match: { ...matchAll, protocols: [1] },
    });
    expect(rest).toMatchObject({ match: matchAll, onAddressChange: 'keep' });
  });

  test('say what is unusual about each', () => {
    expect(linesOf(`${TWO}nat-rules: [{from: 10.0.0.1, mapping: apdm, filtering: eif}]`)).toEqual([
      'natgate.yaml:3:56: warning: nat-rules[0].filtering: filtering endpoint-independent opens a port to everybody that mapping address-and-port-dependent has chosen for one remote host',
    ]);
  });

  test('a pool of one among rules for which pooling is arbitrary is no mistake', () => {
    const nat = `${TWO}external: 203.0.113.8/30\nnat: {pooling: arbitrary}\nnat-rules: [{from: 10.0.0.1, translate: 203.0.113.20}]\n`;
    expect(optionsOf(nat).nat.rules.map(({ behaviour }) => behaviour.pairedPooling)).toEqual([true, false]);
  });
});
