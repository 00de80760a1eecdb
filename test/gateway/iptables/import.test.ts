/** What an import makes of rules: literal texts in, the values of the configuration out. */
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { examine } from '../../../src/gateway/config/load.ts';
import { type ImportOptions, importRules } from '../../../src/gateway/iptables/import.ts';
import { RECIPE_PAGE, RECIPE_SAVED } from './recipe.ts';

const SIDES = { private: ['eth1'], public: 'eth0' };

function imported(text: string, options: Partial<ImportOptions> = {}) {
  const result = importRules(text, {
    file: 'rules.v4',
    ...SIDES,
    addresses: () => [],
    sets: null,
    ...options,
  });
  const { options: run, problems } = examine({
    name: 'x',
    stateRoot: '/run/x',
    flags: {},
    file: { path: 'natgate.yaml', text: result.text },
  });
  expect(
    problems.filter(({ severity }) => severity === 'error'),
    result.text,
  ).toEqual([]);
  expect(run).not.toBeNull();
  return { ...result, file: parse(result.text) as Record<string, unknown> };
}

/** FORWARD rules behind what accepts answers. */
function forward(rules: string, policy = 'DROP') {
  return imported(
    `*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n*filter\n:FORWARD ${policy} [0:0]\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n${rules}\nCOMMIT\n`,
  );
}

function nat(rules: string, options: Partial<ImportOptions> = {}) {
  return imported(`*nat\n${rules}\nCOMMIT\n`, options);
}

describe('the recipe', () => {
  it.each([
    ['as iptables-save writes it', RECIPE_SAVED],
    ['as web pages spell it', RECIPE_PAGE],
  ])('%s is two keys and comments', (_, text) => {
    const { file, counts, sides } = imported(text, { private: [], public: null });
    expect(file).toEqual({ private: 'eth1', public: 'eth0' });
    expect(sides).toEqual(SIDES);
    expect(counts).toMatchObject({ carried: 2, needless: 1, harmless: 0, changed: 0 });
  });

  it('is shown with the rule of each line', () => {
    expect(imported(RECIPE_SAVED).text).toBe(
      [
        '# Made by natgate import from rules.v4: 2 carried, 1 with nothing to do, 0 host-only, 0 not carried.',
        '',
        'private: eth1',
        '# -t nat -A POSTROUTING -o eth0 -j MASQUERADE',
        'public: eth0',
        '',
        '# :FORWARD DROP',
        '# -A FORWARD -i eth1 -o eth0 -j ACCEPT',
        '#    as the default',
        '# -A FORWARD -i eth0 -o eth1 -m state --state RELATED,ESTABLISHED -j ACCEPT',
        '#    nothing to do: what belongs to a connection passes without being asked',
        '',
      ].join('\n'),
    );
  });

  it('asks which interface is private when no rule says', () => {
    expect(() => nat('-A POSTROUTING -o eth0 -j MASQUERADE', { private: [], public: null })).toThrow(
      'which interface is private cannot be told',
    );
  });
});

describe('POSTROUTING', () => {
  it.each([
    ['-A POSTROUTING -o eth0 -j MASQUERADE', undefined],
    [
      '-A POSTROUTING -s 192.168.1.0/24 -o eth0 -j MASQUERADE',
      [
        { from: '192.168.1.0/24', translate: 'masquerade' },
        { name: 'rest', translate: 'none' },
      ],
    ],
    [
      '-A POSTROUTING -s 10.0.0.0/8 ! -d 10.0.0.0/8 -o eth0 -j MASQUERADE',
      [
        {
          from: '10.0.0.0/8',
          to: ['0.0.0.0-9.255.255.255', '11.0.0.0-255.255.255.255'],
          translate: 'masquerade',
        },
        { name: 'rest', translate: 'none' },
      ],
    ],
    [
      '-A POSTROUTING -d 10.8.0.0/255.255.0.0 -j ACCEPT\n-A POSTROUTING -o eth0 -p tcp -m multiport --dports 25,465 -j SNAT --to-source 203.0.113.9\n-A POSTROUTING -o eth0 -j MASQUERADE',
      [
        { to: '10.8.0.0/16', translate: 'none' },
        { protocol: 'tcp', ports: [25, 465], translate: ['203.0.113.9'] },
      ],
    ],
    [
      ':out - [0:0]\n-A POSTROUTING -o eth0 -j out\n-A out -d 10.0.0.0/8 -j RETURN\n-A out -j MASQUERADE',
      [
        { to: ['0.0.0.0-9.255.255.255', '11.0.0.0-255.255.255.255'], translate: 'masquerade' },
        { name: 'rest', translate: 'none' },
      ],
    ],
  ])('%s', (rules, expected) => {
    expect(nat(rules).file['nat-rules']).toEqual(expected);
  });

  it('makes a pool of SNAT to addresses, and masquerade of SNAT to the interface’s own', () => {
    const rule = '-A POSTROUTING -o eth0 -j SNAT --to-source';
    expect(nat(`${rule} 203.0.113.8-203.0.113.15 --persistent`).file['external']).toEqual(['203.0.113.8/29']);
    const own = { addresses: () => ['203.0.113.8'] };
    expect(nat(`${rule} 203.0.113.8`, own).file).toEqual({ private: 'eth1', public: 'eth0' });
  });

  it('takes ports and their choice along', () => {
    const { file } = nat(
      '-A POSTROUTING -o eth0 -p tcp -j MASQUERADE --to-ports 20000-29999 --random\n-A POSTROUTING -o eth0 -j MASQUERADE',
    );
    expect(file['nat-rules']).toEqual([
      { protocol: 'tcp', translate: 'masquerade', 'external-ports': '20000-29999', 'port-choice': 'random' },
    ]);
    expect(file['ports']).toBe('20000-65535');
  });

  it('does not carry what another interface is masqueraded to', () => {
    const { counts, notCarried } = nat(
      '-A POSTROUTING -o eth0 -j MASQUERADE\n-A POSTROUTING -o tun0 -j MASQUERADE',
    );
    expect(counts.changed).toBe(1);
    expect(notCarried[0]).toContain('natgate has one public interface, eth0');
  });
});

describe('PREROUTING', () => {
  const MASQUERADE = '\n-A POSTROUTING -o eth0 -j MASQUERADE';
  it.each([
    [
      '-i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.168.1.10:80',
      [{ protocol: 'tcp', port: 8080, to: '192.168.1.10:80' }],
    ],
    [
      '-i eth0 -p udp --dport 5000:5099 -j DNAT --to 192.168.1.10',
      [{ protocol: 'udp', port: '5000-5099', to: '192.168.1.10' }],
    ],
    [
      '-i eth0 -p tcp --dport 5000:5002 -j DNAT --to-destination 192.168.1.10:6000-6002/5000',
      [{ protocol: 'tcp', port: '5000-5002', to: '192.168.1.10:6000' }],
    ],
    [
      '-d 203.0.113.9 -p tcp --dport 443 ! -s 198.51.100.0/24 -j DNAT --to-destination 192.168.1.10-192.168.1.11',
      [
        {
          protocol: 'tcp',
          port: 443,
          address: '203.0.113.9',
          to: ['192.168.1.10', '192.168.1.11'],
          from: ['0.0.0.0-198.51.99.255', '198.51.101.0-255.255.255.255'],
        },
      ],
    ],
    [
      '-i eth0 -p tcp -m multiport --dports 80,443 -j DNAT --to-destination 192.168.1.10',
      [
        { protocol: 'tcp', port: 80, to: '192.168.1.10' },
        { protocol: 'tcp', port: 443, to: '192.168.1.10' },
      ],
    ],
  ])('%s', (rule, expected) => {
    const { file, counts } = nat(`-A PREROUTING ${rule}${MASQUERADE}`);
    expect(file['forwards']).toEqual(expected);
    expect(counts.changed).toBe(0);
  });

  it('has the first rule for a port', () => {
    const rule = (host: string) =>
      `-A PREROUTING -i eth0 -p tcp --dport 80 -j DNAT --to-destination ${host}\n`;
    const { file, counts } = nat(`${rule('192.168.1.1')}${rule('192.168.1.2')}${MASQUERADE}`);
    expect(file['forwards']).toEqual([{ protocol: 'tcp', port: 80, to: '192.168.1.1' }]);
    expect(counts).toMatchObject({ needless: 1, changed: 0 });
  });

  it('leads a port elsewhere by source, the first rule first', () => {
    const { file, counts } = nat(
      '-A PREROUTING -i eth0 -s 198.51.100.0/24 -p tcp --dport 80 -j DNAT --to-destination 192.168.1.10\n' +
        '-A PREROUTING -i eth0 -s 203.0.113.0/24 -p tcp --dport 80 -j DNAT --to-destination 192.168.1.11\n' +
        '-A PREROUTING -i eth0 -s 203.0.113.7 -p tcp --dport 80 -j DNAT --to-destination 192.168.1.12\n' +
        `-A PREROUTING -i eth0 -p tcp --dport 80:81 -j DNAT --to-destination 192.168.1.13${MASQUERADE}`,
    );
    expect(file['forwards']).toEqual([
      { protocol: 'tcp', port: 80, to: '192.168.1.10', from: '198.51.100.0/24' },
      { protocol: 'tcp', port: 80, to: '192.168.1.11', from: '203.0.113.0/24' },
      { protocol: 'tcp', port: '80-81', to: '192.168.1.13' },
    ]);
    expect(counts).toMatchObject({ needless: 1, changed: 0 });
  });

  it('makes one-to-one of a DNAT and an SNAT that belong together, and of two NETMAPs', () => {
    const { file } = nat(
      [
        '-A PREROUTING -d 203.0.113.9/32 -i eth0 -j DNAT --to-destination 192.168.1.9',
        '-A PREROUTING -d 203.0.113.16/28 -j NETMAP --to 192.168.1.16/28',
        '-A POSTROUTING -s 192.168.1.9/32 -o eth0 -j SNAT --to-source 203.0.113.9',
        '-A POSTROUTING -s 192.168.1.16/28 -j NETMAP --to 203.0.113.16/28',
        '-A POSTROUTING -o eth0 -j MASQUERADE',
      ].join('\n'),
    );
    expect(file['one-to-one']).toEqual([
      { external: '203.0.113.9', internal: '192.168.1.9' },
      { external: '203.0.113.16/28', internal: '192.168.1.16/28' },
    ]);
  });

  it('translates both ends where POSTROUTING does so on the private side', () => {
    const { file } = nat(
      `-A PREROUTING -i eth0 -p tcp --dport 80 -j DNAT --to-destination 192.168.1.10\n-A POSTROUTING -o eth1 -d 192.168.1.10 -p tcp --dport 80 -j MASQUERADE${MASQUERADE}`,
    );
    expect(file['forwards']).toEqual([{ protocol: 'tcp', port: 80, to: '192.168.1.10', twice: true }]);
  });

  it.each([
    ['-i eth1 -p tcp --dport 80 -j REDIRECT --to-ports 3128', 'a process of the gateway itself'],
    ['-i eth1 -p udp --dport 53 -j DNAT --to-destination 9.9.9.9', 'is not turned round'],
    ['-i eth0 -p tcp -j DNAT --to-destination 192.168.1.9', 'all ports of the public interface’s address'],
    [
      '-i eth0 -p tcp --dport 80 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 192.168.1.9',
      'at random',
    ],
  ])('does not carry %s', (rule, why) => {
    const { file, notCarried, text } = nat(`-A PREROUTING ${rule}${MASQUERADE}`);
    expect(file['forwards']).toBeUndefined();
    expect(notCarried).toHaveLength(1);
    expect(notCarried[0]).toContain(why);
    expect(text).toContain(`# NOT CARRIED -t nat -A PREROUTING ${rule}`);
  });
});

describe('FORWARD', () => {
  it.each([
    [
      '-A FORWARD -i eth1 -p tcp -m multiport ! --dports 80,443 -j DROP',
      { action: 'drop', in: 'eth1', protocol: 'tcp', 'not-ports': [80, 443] },
    ],
    [
      '-A FORWARD ! -i eth0 -m iprange --src-range 10.0.0.1-10.0.0.9 ! -d 10.0.0.0/8 -j REJECT --reject-with icmp-host-prohibited',
      {
        action: 'reject',
        'reject-with': 'host-prohibited',
        'not-in': 'eth0',
        from: '10.0.0.1-10.0.0.9',
        'not-to': '10.0.0.0/8',
      },
    ],
    [
      '-A FORWARD -p tcp --syn -m connlimit --connlimit-above 20 --connlimit-mask 24 -j REJECT --reject-with tcp-reset',
      {
        action: 'reject',
        'reject-with': 'tcp-reset',
        protocol: 'tcp',
        'tcp-flags': 'syn',
        connections: { count: 20, prefix: 24 },
      },
    ],
    [
      '-A FORWARD -p icmp -m icmp --icmp-type 8 -m limit --limit 5/min --limit-burst 9 -j ACCEPT',
      {
        action: 'accept',
        protocol: 'icmp',
        icmp: 8,
        limit: { rate: '5/minute', burst: 9 },
      },
    ],
    [
      '-A FORWARD -m hashlimit --hashlimit-above 10/sec --hashlimit-mode srcip --hashlimit-srcmask 24 --hashlimit-name x -j DROP',
      {
        action: 'drop',
        limit: { rate: '10/second', burst: 5, per: 'source', prefix: 24, above: true },
      },
    ],
    [
      '-A FORWARD -s 10.0.0.7 -m time --timestart 22:00 --timestop 06:00 --weekdays Mon,Tue -j DROP',
      {
        action: 'drop',
        from: '10.0.0.7',
        time: { days: ['mon', 'tue'], from: '22:00', to: '06:00:01' },
      },
    ],
    [
      '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "the \\"rule\\"" -s 10.0.0.7 -j DROP',
      { name: 'the "rule"', action: 'drop', from: '10.0.0.7' },
    ],
    [
      '-A FORWARD -s 10.0.0.7 -j LOG --log-prefix "seen: "',
      { action: 'log', log: 'seen: ', from: '10.0.0.7' },
    ],
    [
      '-A FORWARD -p tcp --tcp-flags ALL ACK -j DROP',
      { action: 'drop', protocol: 'tcp', 'tcp-flags': 'ALL ACK' },
    ],
  ])('%s', (rule, expected) => {
    const { file, counts } = forward(`${rule}\n-A FORWARD -s 10.9.9.9 -j ACCEPT`);
    expect((file['firewall'] as { rules: unknown[] }).rules[0]).toEqual(expected);
    expect(counts.changed).toBe(0);
  });

  it('keeps chains, with jump, goto and return', () => {
    const { file } = forward(
      ':a - [0:0]\n:b - [0:0]\n-A FORWARD -i eth1 -j a\n-A a -s 10.0.0.1 -j RETURN\n-A a ! -s 10.0.0.0/8 -g b\n-A a -j ACCEPT\n-A b -j DROP',
    );
    expect(file['firewall']).toEqual({
      default: { outbound: 'drop' },
      chains: {
        a: [
          { action: 'return', from: '10.0.0.1' },
          { goto: 'b', 'not-from': '10.0.0.0/8' },
          { action: 'accept' },
        ],
        b: [{ action: 'drop' }],
      },
      rules: [{ jump: 'a', in: 'eth1' }],
    });
  });

  it('has the last word as the default', () => {
    expect(
      forward('-A FORWARD -s 10.0.0.7 -j DROP\n-A FORWARD -i eth1 -o eth0 -j ACCEPT').file['firewall'],
    ).toEqual({
      rules: [{ action: 'drop', from: '10.0.0.7' }],
    });
    expect(
      forward('-A FORWARD -s 10.0.0.7 -j ACCEPT\n-A FORWARD -j REJECT', 'ACCEPT').file['firewall'],
    ).toEqual({
      default: { outbound: 'reject' },
      rules: [{ action: 'accept', from: '10.0.0.7' }],
    });
  });

  it.each([
    ['-A FORWARD -m mac --mac-source 00:11:22:33:44:55 -j DROP', 'no MAC addresses'],
    ['-A FORWARD -m mark --mark 0x1 -j ACCEPT', 'no marks'],
    ['-A FORWARD -m foo --bar 1 2 -j ACCEPT', 'no match like foo'],
    ['-A FORWARD -i docker0 -o eth0 -j ACCEPT', 'does not serve docker0'],
    ['-A FORWARD -m set --match-set bad src -j DROP', 'set bad is not given'],
    ['-A FORWARD -s host.example -j DROP', 'is a name'],
    ['-A FORWARD -j NFQUEUE --queue-num 1', 'no target NFQUEUE'],
  ])('does not carry %s', (rule, why) => {
    const { counts, notCarried, text } = forward(rule);
    expect(counts.changed).toBe(1);
    expect(notCarried[0]).toContain(why);
    expect(text).toContain(`# NOT CARRIED ${rule}`);
  });

  it('takes sets that are given', () => {
    const { file } = imported(
      '*filter\n-A FORWARD -m set --match-set bad src -j DROP\n-A FORWARD -m set --match-set bad dst -j DROP\nCOMMIT\n',
      { sets: 'create bad hash:net family inet hashsize 1024\nadd bad 198.51.100.0/24\nadd bad 192.0.2.7\n' },
    );
    expect(file['sets']).toEqual({ bad: ['198.51.100.0/24', '192.0.2.7'] });
    expect((file['firewall'] as { rules: unknown[] }).rules).toEqual([
      { action: 'drop', from: '@bad' },
      { action: 'drop', to: '@bad' },
    ]);
  });
});

describe('packets of connections that exist', () => {
  const filter = (policy: string, rules: string) =>
    imported(`*filter\n:FORWARD ${policy} [0:0]\n${rules}\nCOMMIT\n`);
  const OUT = '-A FORWARD -i eth1 -o eth0';
  const BACK = '-A FORWARD -i eth0 -o eth1';

  it('does not carry a rule whose answers are dropped', () => {
    const { counts, file, notCarried } = filter('DROP', `${OUT} -p tcp -j ACCEPT`);
    expect(notCarried[0]).toContain(
      'netfilter drops packets of the connections that it lets in (:FORWARD DROP)',
    );
    expect(counts.changed).toBeGreaterThan(0);
    expect(file['firewall']).toEqual({ default: { outbound: 'drop' } });
  });

  it('sees that rules without states fit together', () => {
    const { counts } = filter(
      'DROP',
      `${OUT} -p tcp --dport 80 -j ACCEPT\n${BACK} -p tcp --sport 80 -j ACCEPT\n${BACK} -p icmp -j ACCEPT\n${OUT} -p icmp -j ACCEPT`,
    );
    expect(counts.changed).toBe(0);
  });

  it('sees that they do not, where one port is forgotten', () => {
    const { notCarried } = filter(
      'DROP',
      `${OUT} -p tcp -m multiport --dports 80,443 -j ACCEPT\n${BACK} -p tcp --sport 80 -j ACCEPT\n-A FORWARD -p icmp -j ACCEPT`,
    );
    expect(notCarried).toHaveLength(1);
    expect(notCarried[0]).toContain('--dports 80,443');
  });

  it('finds an ESTABLISHED that comes too late', () => {
    const state = '-m state --state ESTABLISHED,RELATED -j ACCEPT';
    const late = filter('ACCEPT', `-A FORWARD -s 198.51.100.0/24 -j DROP\n-A FORWARD ${state}`);
    expect(late.notCarried[0]).toContain('it drops answers to connections that other rules let in');
    const both = filter(
      'ACCEPT',
      `-A FORWARD -s 198.51.100.0/24 -j DROP\n-A FORWARD -d 198.51.100.0/24 -j DROP\n-A FORWARD ${state}`,
    );
    expect(both.notCarried).toEqual([]);
  });

  it('does not take a limit on packets for one on connections', () => {
    const { notCarried } = filter(
      'DROP',
      `-A FORWARD -s 10.0.0.7 -m limit --limit 10/s -j ACCEPT\n${BACK} -j ACCEPT`,
    );
    expect(notCarried[0]).toContain('--limit 10/s');
  });

  it.each([
    ['-p tcp -m limit --limit 10/s -m tcp --dport 80', 'write -m limit after that'],
    ['-m connlimit --connlimit-above 9 -m iprange --src-range 10.0.0.1-10.0.0.9', 'write -m connlimit after'],
    ['-m limit --limit 10/s -m time --datestop 2036-01-01', 'write -m limit after'],
    ['-m limit --limit 10/s -m connlimit --connlimit-above 9', 'write -m limit after'],
    ['-m limit --limit 10/s -m hashlimit --hashlimit-upto 1/s --hashlimit-name x', 'one limit each'],
    ['-p udp -m multiport --ports 53,54 -m limit --limit 10/s', 'the limit would be twice as much'],
  ])('does not count otherwise than %s', (matches, why) => {
    const { notCarried, counts } = forward(`-A FORWARD ${matches} -j DROP`, 'ACCEPT');
    expect(notCarried).toEqual([expect.stringContaining(why)]);
    expect(counts.changed).toBe(1);
  });

  it.each([
    '-m limit --limit 10/s -s 10.0.0.7 -i eth1 -p tcp',
    '-m limit --limit 10/s -m comment --comment "ten a second"',
    '-p tcp -m tcp --dport 80 -m time --datestop 2036-01-01 -m connlimit --connlimit-above 9 -m limit --limit 10/s',
    '-p udp -m multiport ! --ports 53,54 -m limit --limit 10/s',
  ])('counts as %s', (matches) => {
    expect(forward(`-A FORWARD ${matches} -j DROP`, 'ACCEPT').notCarried).toEqual([]);
  });

  it('says that ICMP errors pass', () => {
    const { notCarried } = filter(
      'DROP',
      `-A FORWARD -m state --state ESTABLISHED -j ACCEPT\n${OUT} -j ACCEPT`,
    );
    expect(notCarried).toEqual([
      'ICMP errors about connections are not all accepted (RELATED); natgate passes those that belong to one',
    ]);
  });

  it('lets a helper’s connections in where RELATED was accepted', () => {
    const { file } = imported(
      `*raw\n-A PREROUTING -p tcp --dport 2121 -j CT --helper ftp\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m state --state ESTABLISHED,RELATED -j ACCEPT\n${OUT} -p tcp -j ACCEPT\nCOMMIT\n`,
    );
    expect(file['helpers']).toEqual([{ name: 'ftp', port: 2121 }]);
    expect((file['firewall'] as { rules: unknown[] }).rules[0]).toEqual({
      action: 'accept',
      state: 'related',
    });
  });
});
