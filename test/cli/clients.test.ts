/** What `natgate clients` prints: each recipe is read as its reader would. */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { checkScript } from '../../src/cli/clients/check-script.ts';
import type { ClientNetwork } from '../../src/cli/clients/network.ts';
import { type Recipe, recipeText } from '../../src/cli/clients/recipes.ts';

const NETWORK: ClientNetwork = {
  interface: 'g0',
  gateway: '10.77.0.1',
  network: '10.77.0.0/24',
  netmask: '255.255.255.0',
  prefixLength: 24,
  dns: ['10.77.0.1', '192.0.2.53'],
  host: '10.77.0.10/24',
  first: '10.77.0.10',
  last: '10.77.0.254',
};
const text = (recipe: Recipe, more: Partial<ClientNetwork> = {}) =>
  recipeText(recipe, { ...NETWORK, ...more }, 'eth0');
/** Without the comments. */
const body = (recipe: Recipe, more: Partial<ClientNetwork> = {}) =>
  text(recipe, more).replace(/^#.*\n/gm, '');

describe('recipes', () => {
  test('ip', () => {
    expect(body('ip')).toBe(
      [
        'ip link set dev eth0 up',
        'ip address replace 10.77.0.10/24 dev eth0',
        'ip route replace default via 10.77.0.1 dev eth0',
        "printf 'nameserver 10.77.0.1\\nnameserver 192.0.2.53\\n' > /etc/resolv.conf",
        '',
      ].join('\n'),
    );
  });

  test.each([
    ['netplan', 'default'],
    ['cloud-init', '0.0.0.0/0'],
  ] as const)('%s', (recipe, to) => {
    expect(parse(text(recipe))).toEqual({
      network: {
        version: 2,
        ethernets: {
          eth0: {
            dhcp4: false,
            addresses: ['10.77.0.10/24'],
            routes: [{ to, via: '10.77.0.1' }],
            nameservers: { addresses: ['10.77.0.1', '192.0.2.53'] },
          },
        },
      },
    });
  });

  test('networkd', () => {
    expect(body('networkd')).toBe(
      '[Match]\nName=eth0\n\n[Network]\nAddress=10.77.0.10/24\nGateway=10.77.0.1\nDNS=10.77.0.1\nDNS=192.0.2.53\n',
    );
  });

  test('ifupdown', () => {
    expect(body('ifupdown')).toBe(
      'auto eth0\niface eth0 inet static\n    address 10.77.0.10/24\n    gateway 10.77.0.1\n    dns-nameservers 10.77.0.1 192.0.2.53\n',
    );
  });

  test('dnsmasq', () => {
    expect(body('dnsmasq')).toBe(
      [
        'port=0',
        'interface=g0',
        'bind-interfaces',
        'dhcp-range=10.77.0.10,10.77.0.254,255.255.255.0,12h',
        'dhcp-option=option:router,10.77.0.1',
        'dhcp-option=option:dns-server,10.77.0.1,192.0.2.53',
        '',
      ].join('\n'),
    );
  });

  test.each(['ip', 'netplan', 'networkd', 'ifupdown', 'cloud-init', 'dnsmasq'] as const)(
    '%s says nothing of DNS where no resolver is known',
    (recipe) => {
      expect(body(recipe, { dns: [] })).not.toMatch(/dns|nameserver|resolv/i);
      expect(body(recipe, { dns: [] })).toContain('10.77.0.1');
    },
  );
});

describe('the script that checks', () => {
  const script = checkScript({ gateway: '10.77.0.1', outside: '203.0.113.9', name: 'who.test', mtu: 1400 });

  /** Runs it with functions in place of the programs. */
  function runs(ways: { via?: string; ping?: string; getent?: string; ipv6?: string }) {
    const programs = [
      `ip() { if [ "$1" = -6 ]; then echo "${ways.ipv6 ?? ''}"; else echo "203.0.113.9 via ${ways.via ?? '10.77.0.1'} dev eth0"; fi; }`,
      `ping() { ${ways.ping ?? 'true'}; }`,
      `getent() { ${ways.getent ?? 'true'}; }`,
    ];
    const { stdout, status } = spawnSync('sh', ['-c', `${programs.join('\n')}\n${script}`], {
      encoding: 'utf8',
    });
    return {
      code: status,
      lines: stdout
        .trim()
        .split('\n')
        .map((line) => line.split(':')[0]),
    };
  }

  test('is one line', () => {
    expect(script).not.toContain('\n');
  });

  test('all is well', () => {
    expect(runs({})).toEqual({
      code: 0,
      lines: ['ok   route', 'ok   gateway', 'ok   DNS', 'ok   outside', 'ok   MTU'],
    });
  });

  test.each([
    ['another gateway', { via: '10.77.0.11' }, 'FAIL route'],
    ['no names', { getent: 'false' }, 'FAIL DNS'],
    ['nobody outside', { ping: 'case "$*" in *203.0.113.9) false;; esac' }, 'FAIL outside'],
    ['small packets only', { ping: 'case "$*" in *1372*) false;; esac' }, 'FAIL MTU'],
  ])('%s', (_, ways, line) => {
    const { code, lines } = runs(ways);
    expect(code).toBe(1);
    expect(lines).toContain(line);
  });

  test('IPv6 that leads elsewhere is said, and no failure', () => {
    const { code, lines } = runs({ ipv6: 'default via fe80::1 dev eth0' });
    expect([code, lines.at(-1)]).toEqual([0, 'warn IPv6']);
  });
});
