/** Bytes as a kernel (6.18) sent them, and what they say; those of bonds are put together by hand. */
import { describe, expect, it } from 'vitest';
import { decodeAddress, primaryAddress } from '../../../src/host/netlink/addresses.ts';
import { decodeLink, encodeLinkChange } from '../../../src/host/netlink/links.ts';
import { readMessages } from '../../../src/host/netlink/message.ts';
import { decodeNeighbour, FAILED, REACHABLE } from '../../../src/host/netlink/neighbours.ts';
import { decodeNatChain } from '../../../src/host/netlink/nf-tables.ts';
import { decodeRoute, decodeRule } from '../../../src/host/netlink/routes.ts';
import { decodeSocket, encodeSocketRequest } from '../../../src/host/netlink/sock-diag.ts';
import { decodeFilter, decodeIngressQdisc, encodeFilter } from '../../../src/host/netlink/tc.ts';
import { formatAddress, parseAddress } from '../../../src/wire/address.ts';

const read = (digits: string) => {
  const [message] = readMessages(Buffer.from(digits.replaceAll(' ', ''), 'hex'));
  if (message === undefined) throw new Error('no message in these bytes');
  return message;
};
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('links', () => {
  it('reads a port of a bond', () => {
    const link = read(
      '58000000 1000 0200 00000000 00000000' +
        '0000 0100 02000000 43180100 00000000' + // Ethernet, index 2, up
        '0900 0300 657468300000 0000'.replaceAll(' ', '') + // eth0
        '0800 0400 dc050000' +
        '0800 0a00 07000000' + // its master is 7
        '0500 2100 01000000' + // carrier
        '1400 1280 0900 0400 626f6e64 0000 0000 0400 0500'.replaceAll(' ', ''),
    );
    expect(decodeLink(link)).toEqual([
      {
        index: 2,
        name: 'eth0',
        type: 1,
        mtu: 1500,
        txQueueLength: 0,
        qdisc: '',
        up: true,
        loopback: false,
        carrier: true,
        mac: '',
        kind: '',
        master: 7,
        slaveKind: 'bond',
        link: 0,
        tunQueues: 0,
      },
    ]);
  });

  it('writes changes', () => {
    expect(hex(encodeLinkChange(5, { up: true }))).toBe(
      '20000000100005000000000000000000' + '00000000050000000100000001000000',
    );
    expect(hex(encodeLinkChange(5, { mtu: 65535, txQueueLength: 1000, noIpv6Address: true }))).toBe(
      '40000000100005000000000000000000' +
        '00000000050000000000000000000000' +
        '08000400ffff0000' +
        '08000d00e8030000' +
        '10001a80' +
        '0c000a80' +
        '0500080001000000',
    );
  });
});

describe('addresses', () => {
  const loopback =
    '4c0000001400020000000000e3590000020880fe01000000080001007f000001080002007f000001070003006c6f0000080008008000000014000600ffffffffffffffff1fbf02001fbf0200';
  const secondary =
    '580000001400020000000000e35900000218810003000000080001000a4d0001080002000a4d0005080004000a4d00ff0900030067303a7800000000080008008100000014000600ffffffffffffffff30d7020030d70200';

  it('reads scope, label, broadcast and whether it is secondary', () => {
    expect(decodeAddress(read(loopback))[0]).toMatchObject({
      interface: 1,
      prefixLength: 8,
      scope: 254,
      label: 'lo',
    });
    const [address] = decodeAddress(read(secondary));
    expect(address).toMatchObject({
      interface: 3,
      prefixLength: 24,
      scope: 0,
      label: 'g0:x',
      secondary: true,
    });
    expect(formatAddress(address!.address)).toBe('10.77.0.5');
    expect(formatAddress(address!.peer)).toBe('10.77.0.1');
    expect(formatAddress(address!.broadcast)).toBe('10.77.0.255');
  });

  it('chooses as the kernel does for masquerade', () => {
    const at = (text: string, more: object = {}) => ({
      interface: 3,
      address: parseAddress(text)!,
      prefixLength: 24,
      peer: parseAddress(text)!,
      broadcast: 0,
      scope: 0,
      label: '',
      secondary: false,
      ...more,
    });
    const addresses = [
      at('203.0.113.9', { interface: 2 }),
      at('10.0.0.1', { scope: 253 }),
      at('198.18.0.2', { secondary: true }),
      at('198.18.0.1'),
      at('198.18.5.1'),
    ];
    const chosen = (nextHop?: string) => {
      const found = primaryAddress(addresses, 3, nextHop === undefined ? 0 : parseAddress(nextHop)!);
      return formatAddress(found!.address);
    };
    expect(chosen()).toBe('198.18.0.1');
    expect(chosen('198.18.5.254')).toBe('198.18.5.1');
    expect(chosen('192.0.2.1')).toBe('198.18.0.1');
    expect(primaryAddress(addresses, 4)).toBeNull();
  });
});

describe('routes', () => {
  it('reads a default route with an MTU', () => {
    const [route] = decodeRoute(
      read(
        '4000000018000200000000009b286d8f02000000fe0300010000000008000f00fe0000000c000800080002007805000008000500c61200020800040005000000',
      ),
    );
    expect(route).toMatchObject({ prefix: 0, length: 0, table: 254, type: 1, metric: 0, mtu: 1400 });
    expect(route?.nextHops).toEqual([
      { interface: 5, gateway: parseAddress('198.18.0.2'), dead: false, foreign: false },
    ]);
  });

  it('reads both next hops of a multipath route', () => {
    const [route] = decodeRoute(
      read(
        '5000000018000200000000009b286d8f02180000fe0300010000000008000f00fe00000008000100cb00710024000900100000000500000008000500c61200091000000103000000080005000a4d0009',
      ),
    );
    expect(route?.nextHops.map((hop) => [hop.interface, formatAddress(hop.gateway)])).toEqual([
      [5, '198.18.0.9'],
      [3, '10.77.0.9'],
    ]);
  });

  it('sees a next hop that is an IPv6 address, and a blackhole without any', () => {
    const [via6] = decodeRoute(
      read(
        '4c00000018000200000000009b286d8f02180000fe0300010000000008000f00fe00000008000100cb007000160012000a00fe80000000000000000000000000000100000800040005000000',
      ),
    );
    expect(via6?.nextHops).toEqual([{ interface: 5, gateway: 0, dead: false, foreign: true }]);
    const [blackhole] = decodeRoute(
      read('2c00000018000200000000009b286d8f02180000fe0300060000000008000f00fe00000008000100c0000200'),
    );
    expect(blackhole).toMatchObject({ type: 6, length: 24, nextHops: [{ interface: 0 }] });
  });

  it('leaves out cached routes and those for a type of service', () => {
    const plain = '2c00000018000200000000009b286d8f02180000fe0300060000000008000f00fe00000008000100c0000200';
    const at = (offset: number, digits: string) =>
      plain.slice(0, offset * 2) + digits + plain.slice(offset * 2 + digits.length);
    expect(decodeRoute(read(plain))).toHaveLength(1);
    expect(decodeRoute(read(at(24, '00020000')))).toEqual([]);
    expect(decodeRoute(read(at(19, '10')))).toEqual([]);
  });

  it('tells rules for every packet from rules for some', () => {
    const local =
      '340000002000020000000000728772df02000000ff0000010000000008000f00ff00000008000e00ffffffff0500150002000000';
    const marked =
      '4c0000002000020000000000728772df02000000640000010000000008000f006400000008000e00ffffffff0500150000000000080006006400000008000a000100000008001000ffffffff';
    const suppressing =
      '3c0000002000020000000000728772df02000000fe0000010000000008000f00fe00000008000e0000000000050015000000000008000600c7000000';
    const notMarked =
      '4c0000002000020000000000728772df02000000fc0000010200000008000f006cca000008000e00ffffffff050015000000000008000600c800000008000a006cca000008001000ffffffff';
    expect(decodeRule(read(local))).toEqual([
      { priority: 0, table: 255, suppressLength: -1, applies: 'always' },
    ]);
    expect(decodeRule(read(marked))).toMatchObject([{ priority: 100, table: 100, applies: 'never' }]);
    expect(decodeRule(read(suppressing))).toMatchObject([
      { table: 254, suppressLength: 0, applies: 'always' },
    ]);
    expect(decodeRule(read(notMarked))).toMatchObject([{ priority: 200, table: 51820, applies: 'always' }]);
    // The first one again, for one source prefix (FRA_SRC 10.0.0.0, length 8).
    const bySource = `3c${local.slice(2, 36)}08${local.slice(38)}080002000a000000`;
    expect(decodeRule(read(bySource))).toMatchObject([{ applies: 'sometimes' }]);
  });
});

describe('neighbours', () => {
  const entry =
    '4c0000001c000200000000003169b38e020000000300000002000001080001000a4d00090a00020002000000000900000800040000000000140003001a0000001a0000001a00000001000000';

  it('reads address, state and hardware address', () => {
    expect(decodeNeighbour(read(entry))).toEqual([
      {
        interface: 3,
        address: parseAddress('10.77.0.9'),
        state: REACHABLE,
        mac: '02:00:00:00:00:09',
        deleted: false,
      },
    ]);
    const failed = entry.replace('02000001', '20000001').replace('1c00', '1d00');
    expect(decodeNeighbour(read(failed))).toMatchObject([{ state: FAILED, deleted: true }]);
  });

  it('passes over IPv6', () => {
    const other = `${entry.slice(0, 32)}0a${entry.slice(34)}`;
    expect(decodeNeighbour(read(other))).toEqual([]);
  });
});

describe('tc', () => {
  const clsact =
    '9800000024000200000000007fe900fe00000000030000000000fffff1ffffff010000000b000100636c7361637400000400020005000c00000000003000070014000100000000000000000000000000000000001800030000000000000000000000000000000000000000002c00030000000000000000000000000000000000000000000000000000000000000000000000000000000000';

  it('finds the clsact qdisc of an interface and no other', () => {
    expect(decodeIngressQdisc(read(clsact), 3)).toEqual([{ kind: 'clsact', block: 0 }]);
    expect(decodeIngressQdisc(read(clsact), 4)).toEqual([]);
  });

  it('writes a filter', () => {
    expect(hex(encodeFilter({ interface: 3, priority: 1000, handle: 1 }, 9, 'x'))).toBe(
      '480000002c0005040000000000000000' +
        '0000000003000000 01000000 f2ffffff 0003e803'.replaceAll(' ', '') +
        '0800010062706600' +
        '1c000280 0800060009000000 0600070078000000 0800080001000000'.replaceAll(' ', ''),
    );
  });

  it('reads a filter of its own back, but not the head of its priority', () => {
    const answer = (handle: string) =>
      read(
        `48000000 2c00 0200 00000000 00000000 00000000 03000000 ${handle} f2ffffff 0003e803 0800010062706600 1c000280 08000b0036000000 0600070078000000 0800080001000000`,
      );
    expect(decodeFilter(answer('01000000'), 'ingress')).toEqual([
      { hook: 'ingress', priority: 1000, handle: 1, kind: 'bpf', name: 'x', programId: 54 },
    ]);
    expect(decodeFilter(answer('00000000'), 'ingress')).toEqual([]);
  });
});

describe('sock_diag', () => {
  it('asks for all states of a family and protocol', () => {
    expect(hex(encodeSocketRequest(10, 17))).toBe(
      `480000001400010300000000000000000a110000ffffffff${'00'.repeat(48)}`,
    );
  });

  const socket = (family: string, state: string, source: string, v6only = '') => {
    const body = `${family}${state}0000 1f90 0000 ${source} ${'00'.repeat(16)} 04000000 ${'00'.repeat(8)} ${'00'.repeat(20)}${v6only}`;
    const digits = body.replaceAll(' ', '');
    const length = (16 + digits.length / 2).toString(16).padStart(2, '0');
    return read(`${length}000000 1400 0200 00000000 00000000 ${digits}`);
  };
  const any = '00'.repeat(16);

  it('reads IPv4 sockets', () => {
    expect(decodeSocket(socket('02', '0a', `0a4d0001${'00'.repeat(12)}`))).toEqual([
      { address: parseAddress('10.77.0.1'), port: 8080, state: 10, interface: 4 },
    ]);
  });

  it('counts an IPv6 socket when IPv4 reaches it', () => {
    expect(decodeSocket(socket('0a', '0a', any, '05000b0000000000'))).toMatchObject([
      { address: 0, port: 8080 },
    ]);
    expect(decodeSocket(socket('0a', '0a', any, '05000b0001000000'))).toEqual([]);
    expect(decodeSocket(socket('0a', '01', '00000000 00000000 0000ffff c6120001'))).toMatchObject([
      { address: parseAddress('198.18.0.1') },
    ]);
    expect(decodeSocket(socket('0a', '01', '20010db8 00000000 00000000 00000001'))).toEqual([]);
    expect(decodeSocket(socket('0a', '0a', '00000000 00000000 00000000 00000001'))).toEqual([]);
  });
});

describe('nf_tables', () => {
  const chain = (type: string, users: string) =>
    read(
      `34000000 030a 0200 00000000 00000000 02000000 08000100${hex(Buffer.from('nat\0'))} 0600030043000000 08000600${users} 08000700${type}`,
    );

  it('finds NAT chains that have rules', () => {
    expect(decodeNatChain(chain('6e617400', '00000002'))).toEqual([{ table: 'nat', chain: 'C' }]);
    expect(decodeNatChain(chain('6e617400', '00000000'))).toEqual([]);
    expect(decodeNatChain(chain('6e617500', '00000002'))).toEqual([]);
  });
});
