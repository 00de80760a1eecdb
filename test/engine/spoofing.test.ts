/** Sources that cannot be where a packet comes from (RFC 2827, RFC 3704). Two private interfaces, a network behind a router. */
import { describe, expect, it } from 'vitest';
import type { EngineConfig } from '../../src/engine/config.ts';
import { readCounters } from '../../src/engine/counters.ts';
import { Engine } from '../../src/engine/engine.ts';
import { TO_HOST } from '../../src/engine/routes.ts';
import { formatState, openState, stateBytes } from '../../src/engine/state.ts';
import { MemoryLink } from '../../src/link/memory.ts';
import { masqueradeAll } from '../../src/nat/config.ts';
import { OWNED_BYTES } from '../../src/nat/owned.ts';
import { defaultFirewall } from '../../src/policy/firewall-config.ts';
import { tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { parsePrefix } from '../../src/wire/address.ts';
import { address, route } from './bed.ts';

const LAN = 0;
const DMZ = 1;
const WAN = 2;
const SERVER = '203.0.113.9';
const PORTS = { first: 32768, last: 65535 };

/** LAN 10.77.0.0/24 (behind a router there 10.99.0.0/16), DMZ 10.88.0.0/24, external 203.0.113.1 unless said otherwise. */
class Site {
  readonly engine: Engine;
  private readonly link = new MemoryLink();
  private readonly state = new ArrayBuffer(stateBytes(64));

  constructor(more: Partial<EngineConfig> = {}, external = '203.0.113.1') {
    formatState(this.state, 64, [1, 2]);
    this.engine = new Engine({
      arena: this.link.arena,
      state: this.state,
      owned: new ArrayBuffer(OWNED_BYTES),
      devices: [
        { side: 'private', address: address('10.77.0.1'), mtu: 1500 },
        {
          side: 'private',
          address: address('10.88.0.1'),
          mtu: 1500,
          networks: [parsePrefix('172.20.0.0/16')!],
        },
        { side: 'public', address: address(external), mtu: 1500 },
      ],
      ports: PORTS,
      nat: masqueradeAll(PORTS, { filtering: 'endpoint-independent' }),
      seed: 1,
      now: 0,
      ...more,
    });
    this.engine.setRoutes([
      route('10.77.0.0/24', LAN),
      route('10.99.0.0/16', LAN, '10.77.0.254'),
      route('172.20.0.0/16', LAN, '10.77.0.254'),
      route('10.88.0.0/24', DMZ),
      route('192.0.2.0/24', DMZ),
      route('0.0.0.0/0', WAN),
      route('10.77.0.1/32', TO_HOST),
    ]);
  }

  /** How many packets leave because of it. */
  from(device: number, source: string, destination = `${SERVER}:53`): number {
    this.link.receive(device, udpPacket({ from: `${source}:40000`, to: destination }));
    return this.take();
  }

  take(): number {
    this.engine.process(0, this.link.takeBatch(), 0);
    const sent = this.link.sent(this.engine.outCount).length;
    this.engine.clearOut();
    return sent;
  }

  syn(device: number, from: string, to: string): number {
    this.link.receive(device, tcpPacket({ from, to, flags: 'S' }));
    return this.take();
  }

  get drops(): Record<string, number> {
    return readCounters(openState(this.state).counters).drops;
  }
}

describe('from inside', () => {
  it('a source must be reached through the interface that it came in by', () => {
    const site = new Site();
    expect(site.from(LAN, '10.77.0.2')).toBe(1);
    expect(site.from(LAN, '10.99.3.4')).toBe(1);
    expect(site.from(DMZ, '10.88.0.2')).toBe(1);
    expect(site.drops).toEqual({});
    expect(site.from(DMZ, '10.77.0.3')).toBe(0);
    expect(site.from(LAN, '10.88.0.3')).toBe(0);
    expect(site.drops).toEqual({ spoofed_source: 2 });
    // Where answers would go out is no way back at all.
    expect(site.from(LAN, '8.8.8.8')).toBe(0);
    expect(site.drops).toEqual({ spoofed_source: 2, martian_source: 1 });
  });

  it('or be in the networks that are configured for it', () => {
    const site = new Site();
    expect(site.from(DMZ, '172.20.0.5')).toBe(1);
    expect(site.from(DMZ, '172.21.0.5')).toBe(0);
  });

  it('a flow that lives is not asked again', () => {
    const site = new Site();
    expect(site.from(LAN, '10.99.3.4')).toBe(1);
    site.engine.setRoutes([route('10.99.0.0/16', DMZ), route('0.0.0.0/0', WAN)]);
    expect(site.from(LAN, '10.99.3.4')).toBe(1);
    expect(site.from(LAN, '10.99.3.5')).toBe(0);
  });
});

describe('from outside', () => {
  const reserved = ['10.1.2.3', '100.64.0.1', '172.16.0.1', '192.168.1.1', '198.18.0.1', '192.0.0.1'];
  const knock = (site: Site, source: string) => {
    site.from(LAN, '10.77.0.2');
    return site.from(WAN, source, '203.0.113.1:40000');
  };

  it.each(reserved)('not from %s', (source) => {
    const site = new Site();
    expect(knock(site, source)).toBe(0);
    expect(site.drops).toEqual({ spoofed_source: 1 });
    expect(site.engine.sessions.table.count).toBe(1);
  });

  it.each(['8.8.8.8', '198.51.100.7', '203.0.113.77'])('from %s', (source) => {
    expect(knock(new Site(), source)).toBe(1);
  });

  it('not from a private network, whatever its addresses', () => {
    const site = new Site();
    expect(knock(site, '192.0.2.7')).toBe(0);
    expect(site.drops).toEqual({ spoofed_source: 1 });
  });

  it('martians stay martians', () => {
    const site = new Site();
    for (const source of [
      '127.0.0.1',
      '0.1.2.3',
      '169.254.1.1',
      '224.0.0.1',
      '255.255.255.255',
      '203.0.113.1',
    ]) {
      expect(knock(site, source)).toBe(0);
    }
    expect(site.drops).toEqual({ martian_source: 6 });
  });

  it('from the network that the gateway itself is in, also when its address changes', () => {
    const site = new Site({}, '192.168.1.2');
    site.from(LAN, '10.77.0.2');
    expect(site.from(WAN, '192.168.7.7', '192.168.1.2:40000')).toBe(1);
    expect(site.from(WAN, '10.1.1.1', '192.168.1.2:40000')).toBe(0);
    site.engine.setDevice(WAN, { address: address('100.64.0.9'), mtu: 1500 });
    site.from(LAN, '10.77.0.2');
    expect(site.from(WAN, '192.168.7.8', '100.64.0.9:40000')).toBe(0);
    expect(site.from(WAN, '100.64.3.3', '100.64.0.9:40000')).toBe(1);
  });

  it('from what is trusted', () => {
    const trustedOutside = [parsePrefix('10.20.0.0/16')!];
    const site = new Site({ firewall: { ...defaultFirewall, trustedOutside } });
    expect(knock(site, '10.20.1.1')).toBe(1);
    expect(site.from(WAN, '10.21.1.1', '203.0.113.1:40000')).toBe(0);
  });

  it('answers are not asked: whom a private host has called may have any address', () => {
    const site = new Site();
    expect(site.from(LAN, '10.77.0.2', '10.1.2.3:53')).toBe(1);
    expect(site.from(WAN, '10.1.2.3', '203.0.113.1:40000')).toBe(0);
    const answered = new Site();
    answered.from(LAN, '10.77.0.2', '10.1.2.3:40000');
    expect(answered.from(WAN, '10.1.2.3', '203.0.113.1:40000')).toBe(1);
  });

  it('a forged SYN that nobody expects is never answered', () => {
    const site = new Site({ unsolicited: 'unreachable' });
    site.syn(WAN, '10.1.2.3:99', '203.0.113.1:50000');
    site.syn(WAN, '8.8.8.8:99', '203.0.113.1:50000');
    expect(site.drops).toEqual({ spoofed_source: 1, no_flow: 1 });
    site.engine.tick(7000);
    expect(site.engine.outCount).toBe(1);
  });
});

it('can be switched off', () => {
  const site = new Site({ firewall: { ...defaultFirewall, antiSpoofing: false } });
  expect(site.from(DMZ, '10.77.0.2')).toBe(1);
  expect(site.from(WAN, '10.1.2.3', '203.0.113.1:40000')).toBe(1);
  expect(site.drops).toEqual({});
});
