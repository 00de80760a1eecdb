import { describe, expect, it } from 'vitest';
import { nearestName } from '../../src/core/nearest.ts';
import { checkInterface } from '../../src/host/checks/interfaces.ts';
import { checkCapabilities, checkKernel } from '../../src/host/checks/machine.ts';
import { checkPorts } from '../../src/host/checks/ports.ts';
import type { Link } from '../../src/host/netlink/links.ts';
import { parseAddress } from '../../src/wire/address.ts';

const link = (more: Partial<Link> = {}): Link => ({
  index: 2,
  name: 'eth0',
  type: 1,
  mtu: 1500,
  txQueueLength: 1000,
  qdisc: 'fq_codel',
  up: true,
  loopback: false,
  carrier: true,
  mac: '02:00:00:00:00:01',
  kind: '',
  master: 0,
  slaveKind: '',
  link: 0,
  tunQueues: 0,
  ...more,
});
const address = {
  interface: 2,
  address: parseAddress('10.0.0.1')!,
  prefixLength: 24,
  peer: parseAddress('10.0.0.1')!,
  broadcast: 0,
  scope: 0,
  label: 'eth0',
  secondary: false,
};
const codes = (side: 'private' | 'public', links: Link[], addresses = [address]) =>
  checkInterface(side, 'eth0', links, addresses).map((check) => check.code || check.status);

describe('checkKernel', () => {
  it('wants Linux 5.10', () => {
    for (const version of ['5.10.0', '5.15.0-91-generic', '6.1.0-18-amd64', '10.0']) {
      expect(checkKernel('linux', version).status).toBe('ok');
    }
    expect(checkKernel('linux', '5.9.16').code).toBe('kernel_too_old');
    expect(checkKernel('linux', '4.19.0').code).toBe('kernel_too_old');
    expect(checkKernel('darwin', '23.1.0').what).toBe('darwin 23.1.0');
  });
});

describe('checkCapabilities', () => {
  const status = (effective: string) => `Name:\tnode\nCapEff:\t${effective}\nCapBnd:\t0\n`;

  it('names what is missing, and takes CAP_SYS_ADMIN for CAP_BPF and CAP_PERFMON', () => {
    expect(checkCapabilities(status('000001ffffffffff')).status).toBe('ok');
    expect(checkCapabilities(status('00000000002010c0')).status).toBe('ok');
    expect(checkCapabilities(status('000000c0000010c0')).status).toBe('ok');
    expect(checkCapabilities(status('00000080000010c0')).what).toBe('missing CAP_PERFMON');
    expect(checkCapabilities(status('00000000000010c0')).what).toBe('missing CAP_BPF, CAP_PERFMON');
    expect(checkCapabilities(status('0000000000000000'))).toMatchObject({
      code: 'not_permitted',
      what: 'missing CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON, CAP_SETUID, CAP_SETGID',
    });
  });
});

describe('checkInterface', () => {
  it('is content with an Ethernet interface that is up and has an address', () => {
    expect(checkInterface('private', 'eth0', [link()], [address])).toMatchObject([
      { status: 'ok', what: 'private, 10.0.0.1/24, MTU 1500, up' },
    ]);
    expect(codes('public', [link({ mtu: 16000, kind: 'vlan', link: 7 })])).toEqual(['ok']);
  });

  it('refuses ports of bridges and bonds, and says what to serve instead', () => {
    const bond = link({ name: 'bond0', index: 7, kind: 'bond' });
    const [check] = checkInterface(
      'public',
      'eth0',
      [link({ master: 7, slaveKind: 'bond' }), bond],
      [address],
    );
    expect(check).toMatchObject({
      code: 'interface_is_port',
      what: 'eth0 is a bond port of bond0',
      remedy: 'serve bond0 instead',
    });
    expect(codes('private', [link({ master: 7, slaveKind: 'bridge' })])).toEqual(['interface_is_port']);
  });

  it('takes interfaces without a header of the link, however large', () => {
    // tun and WireGuard, ipip, sit, gre, raw IP, PPP.
    for (const type of [65534, 768, 776, 778, 519, 512])
      expect(codes('public', [link({ type })])).toEqual(['ok']);
    expect(codes('private', [link({ type: 65534, kind: 'tun', mtu: 65535 })])).toEqual(['ok']);
    expect(codes('private', [link({ kind: 'tun' })])).toEqual(['ok']);
  });

  it('refuses what it cannot serve, its own TUNs, and what is too large', () => {
    const own = link({ name: 'natgate-eth0', type: 65534, kind: 'tun' });
    expect(checkInterface('private', own.name, [own], [address]).map(({ code }) => code)).toEqual([
      'interface_is_natgates',
    ]);
    expect(codes('public', [link({ type: 512, mtu: 16001 })])).toEqual(['mtu_too_large']);
    expect(codes('private', [link({ type: 772, loopback: true, mtu: 65536 })])).toEqual([
      'interface_unusable',
      'mtu_too_large',
    ]);
    expect(codes('public', [link({ mtu: 16001 })])).toEqual(['mtu_too_large']);
  });

  it('wants an address at once on the private side, and waits for the public one', () => {
    expect(codes('private', [link()], [])).toEqual(['private_without_address']);
    expect(codes('public', [link()], [])).toEqual(['warn']);
    expect(codes('public', [link({ up: false, carrier: false })])).toEqual(['warn']);
    expect(codes('public', [link({ carrier: false })])).toEqual(['warn']);
  });

  it('suggests the nearest name', () => {
    const [check] = checkInterface('private', 'eth0', [link({ name: 'etho' }), link({ name: 'wlan0' })], []);
    expect(check).toMatchObject({ code: 'interface_unknown', what: 'there is no interface eth0' });
    expect(check?.remedy).toMatch(/^did you mean etho\?/);
    expect(nearestName('enp3s1', ['lo', 'enp3s0', 'docker0'])).toBe('enp3s0');
    expect(nearestName('eth0', [])).toBeNull();
  });
});

describe('checkPorts', () => {
  it('refuses what is no range', () => {
    for (const [first, last] of [
      [0, 65535],
      [40000, 30000],
      [32768, 65536],
      [Number.NaN, 65535],
    ] as const) {
      expect(checkPorts({ first, last })).toMatchObject([{ code: 'ports_invalid' }]);
    }
  });
});
