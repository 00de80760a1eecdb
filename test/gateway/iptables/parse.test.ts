/** Texts of rules, and what is wrong with them: the exact place and the remedy. */
import { expect, it } from 'vitest';
import { parseRules } from '../../../src/gateway/iptables/parse.ts';
import { RulesError } from '../../../src/gateway/iptables/syntax.ts';

function messageOf(text: string): string {
  try {
    parseRules('rules.v4', text);
  } catch (error) {
    if (error instanceof RulesError) return error.message;
    throw error;
  }
  return '';
}

it.each([
  ['*natt', 'rules.v4:1:1: there is no table natt; did you mean nat?'],
  [
    '*nat\n-A POSTROUTNG -j ACCEPT',
    'rules.v4:2:4: the table nat has no chain POSTROUTNG; did you mean POSTROUTING? -N makes a chain',
  ],
  [
    '*filter\n-A FORWARD -j ACEPT',
    'rules.v4:2:12: the table filter has no chain ACEPT, and there is no such target; did you mean ACCEPT?',
  ],
  [
    '*filter\n-A FORWARD --dport 80 -j DROP',
    'rules.v4:2:12: --dport without its match; give -m tcp (or -p) before it',
  ],
  [
    '*filter\n-A FORWARD -p tcp --dprot 80 -j DROP',
    'rules.v4:2:19: there is no option --dprot; did you mean --dport?',
  ],
  ['*filter\n-A FORWARD -s -j DROP', 'rules.v4:2:12: --source needs a value; look at what follows it'],
  [
    '*filter\n-A FORWARD -m comment --comment "x -j DROP',
    'rules.v4:2:33: a quote begins here and does not end; close it',
  ],
  ['*filter\n:FORWARD REJECT [0:0]', 'rules.v4:2:1: REJECT is no policy; a policy is ACCEPT or DROP'],
  [
    'iptables -A FORWARD -i $LAN -j ACCEPT',
    'rules.v4:1:24: the variable $LAN is not set in this file; write its value, or import what iptables-save prints',
  ],
  [
    'for i in 1 2; do',
    'rules.v4:1:1: for: which commands run is not followed; run the script and import what iptables-save prints',
  ],
])('%s', (text, message) => {
  expect(messageOf(text)).toBe(message);
});

it('says all that is wrong, in the order of the file', () => {
  const lines = messageOf(
    '*filter\n-A FORWARD -j NOWHERE\n-A FORWARD -p tcp --dprot 80\n-A FORWRD -j DROP',
  ).split('\n');
  expect(lines.map((line) => line.split(' ')[0])).toEqual([
    'rules.v4:2:12:',
    'rules.v4:3:19:',
    'rules.v4:4:4:',
  ]);
});

it('reads commands as they change the tables', () => {
  const { tables } = parseRules(
    'script',
    [
      'IPT=/sbin/iptables',
      '$IPT -F; $IPT -X'.split(';')[0]!,
      '$IPT -P FORWARD DROP',
      '$IPT -N web',
      '$IPT -A FORWARD -p tcp -j web',
      '$IPT -I FORWARD -s 10.0.0.1 -j DROP',
      '$IPT -I FORWARD 2 -s 10.0.0.2 -j DROP',
      '$IPT -D FORWARD -s 10.0.0.1 -j DROP',
    ].join('\n'),
  );
  const chain = tables.get('filter')!.get('FORWARD')!;
  expect(chain.policy).toBe('DROP');
  expect(chain.rules.map(({ text }) => text)).toEqual([
    '-A FORWARD -s 10.0.0.2 -j DROP',
    '-A FORWARD -p tcp -j web',
  ]);
});

it('takes `!` before and behind, long names, short ones, and beginnings of names', () => {
  const { tables } = parseRules(
    'script',
    'iptables -A FORWARD -s ! 10.0.0.0/8 --dst 1.1.1.1 --protocol tcp --destination-port 80 -j REJECT --reject icmp-host-prohibited',
  );
  const [rule] = tables.get('filter')!.get('FORWARD')!.rules;
  expect(rule!.options.map(({ name, not, values }) => [name, not, ...values])).toEqual([
    ['source', true, '10.0.0.0/8'],
    ['destination', false, '1.1.1.1'],
    ['protocol', false, 'tcp'],
    ['destination-port', false, '80'],
  ]);
  expect(rule!.target!.options[0]).toMatchObject({ name: 'reject-with', values: ['icmp-host-prohibited'] });
});
