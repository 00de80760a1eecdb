/** What an import makes of the nat table and of the recipe: literal texts in, the values of the configuration out. */
import { describe, expect, it } from 'vitest';
import { imported, nat, SIDES } from './import-support.ts';
import { RECIPE_PAGE, RECIPE_SAVED } from './recipe.ts';

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
