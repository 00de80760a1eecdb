/** Another configuration on a running engine: what goes on does so byte by byte, what the new one would not have ends. */
import { describe, expect, it } from 'vitest';
import { END_RULE } from '../../src/conntrack/end-reasons.ts';
import type { Reconfiguration, Reconfigured } from '../../src/engine/reconfigure.ts';
import { numberRules } from '../../src/gateway/reload/rule-numbers.ts';
import type { HelperConfig } from '../../src/nat/alg/registry.ts';
import {
  defaultBehaviour,
  type Forward,
  masqueradeAll,
  matchAll,
  type NatConfig,
  type NatRule,
  type PrefixPair,
} from '../../src/nat/config.ts';
import {
  defaultFirewall,
  type FirewallConfig,
  type FirewallMatch,
} from '../../src/policy/firewall-config.ts';
import {
  MemoryGateway,
  type MemoryGatewayOptions,
  readPacket,
  tcpPacket,
  udpPacket,
} from '../../src/testing/index.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';
import { config, rule as firewallRule, is } from '../policy/firewall/rules.ts';
import { Crew } from './crew.ts';

const PORTS = { first: 32768, last: 65535 };
const X = '10.77.0.2:5000';
const Y = '10.77.0.3:5000';
const REMOTE = '198.18.0.2:53';
const FTP: HelperConfig = { name: 'ftp', protocol: 6, port: 21 };

const masquerade = masqueradeAll(PORTS).rules[0]!;

function rule(name: string, fields: Partial<NatRule>): NatRule {
  return { ...masquerade, name, ...fields };
}

function pool(name: string, source: string, ...addresses: string[]): NatRule {
  return rule(name, {
    action: 'pool',
    addresses: addresses.map((text) => parseAddress(text)!),
    ports: { first: 1024, last: 65535 },
    match: { ...matchAll, sources: [parsePrefix(source)!] },
  });
}

function nat(rules: NatRule[], forwards: Forward[] = [], prefixes: PrefixPair[] = []): NatConfig {
  return { rules, forwards, prefixes };
}

function forward(name: string, port: number, to: string, fields: Partial<Forward> = {}): Forward {
  const [address = '', internal] = to.split(':');
  const targets = [{ address: parseAddress(address)!, port: Number(internal) }];
  const ports = { first: port, last: port };
  const rest = { address: 0, sources: [], affinitySeconds: 0, twice: false };
  return { name, protocol: 17, ports, targets, ...rest, ...fields };
}

const PAIR: PrefixPair = {
  name: 'one',
  internal: parsePrefix('10.77.0.9/32')!,
  external: parsePrefix('198.18.1.9/32')!,
};

const blocking = (port: number, match: Partial<FirewallMatch> = {}): FirewallConfig =>
  config([
    firewallRule(
      'drop',
      { destinationPorts: [is({ first: port, last: port })], ...match },
      { name: `no ${port}` },
    ),
  ]);

class Lab {
  readonly gateway: MemoryGateway;
  readonly ended: number[] = [];
  present: NatConfig;
  private readonly options: Partial<MemoryGatewayOptions>;

  constructor(first: NatConfig, options: Partial<MemoryGatewayOptions> = {}) {
    this.present = first;
    this.options = options;
    this.gateway = new MemoryGateway({
      private: '10.77.0.1/24',
      public: '198.18.0.1/24',
      nat: first,
      ...options,
    });
    const { tracker } = this.gateway.engine;
    const { onClose } = tracker;
    tracker.onClose = (flow, why) => {
      this.ended.push(why);
      onClose(flow, why);
    };
  }

  /** As a gateway does it. `settles`: until all flows have been looked at. */
  reconfigure(next: NatConfig, fields: Partial<Reconfiguration> = {}, settles = true): Reconfigured | null {
    const { gateway, options } = this;
    const numbered = numberRules(this.present.rules, next);
    this.present = numbered;
    let result: Reconfigured | null = null;
    const { helpers = [], firewall = defaultFirewall, timeouts = {}, evict = 'never' } = options;
    const rest = { helpers, firewall, timeouts, evict, clampMss: true, unsolicited: 'silent' as const };
    gateway.engine.reconfigurer.apply({ nat: numbered, ...rest, ...fields }, gateway.now, (done) => {
      result = done;
    });
    while (settles && gateway.engine.reconfigurer.isBusy) gateway.engine.tick(gateway.now);
    return result;
  }

  /** What leaves on the other side for a datagram, as `source > destination`, or nothing. */
  out(from: string, to = REMOTE): string {
    this.gateway.sendPrivate(udpPacket({ from, to, payload: 'x' }));
    return shown(this.gateway.receivePublic());
  }

  in(from: string, to: string): string {
    this.gateway.sendPublic(udpPacket({ from, to, payload: 'x' }));
    return shown(this.gateway.receivePrivate());
  }
}

function shown(packets: Uint8Array[]): string {
  return packets
    .map((packet) => {
      const { from, to } = readPacket(packet);
      return `${from} > ${to}`;
    })
    .join();
}

function externalOf(line: string): string {
  return line.split(' > ')[0]!;
}

describe('NAT rules', () => {
  it('a flow goes on with its port, byte by byte, when another rule comes before its own', () => {
    const lab = new Lab(nat([masquerade]));
    lab.gateway.sendPrivate(udpPacket({ from: X, to: REMOTE, payload: 'abc' }));
    const before = lab.gateway.receivePublic();
    const result = lab.reconfigure(nat([pool('office', '10.77.0.0/24', '198.18.1.1'), masquerade]));
    expect(result).toEqual({ ended: [], kept: 1 });
    lab.gateway.sendPrivate(udpPacket({ from: X, to: REMOTE, payload: 'abc' }));
    expect(lab.gateway.receivePublic()).toEqual(before);
    expect(lab.in(REMOTE, externalOf(shown(before)))).toBe(`${REMOTE} > ${X}`);
    // A new one is the new rule's.
    expect(lab.out(Y)).toMatch(/^198\.18\.1\.1:/);
    expect(lab.gateway.flows()).toHaveLength(2);
  });

  it('ends the flows of a rule that is gone, and no others; its number is given to no one at once', () => {
    const rules = [
      pool('a', '10.77.0.2/32', '198.18.1.1'),
      pool('b', '10.77.0.3/32', '198.18.1.2'),
      masquerade,
    ];
    const lab = new Lab(nat(rules));
    const [, b] = [lab.out(X), lab.out(Y)];
    const c = lab.out('10.77.0.4:5000');
    const added = pool('c', '10.77.0.8/32', '198.18.1.3');
    expect(lab.reconfigure(nat([added, rules[1]!, masquerade]))).toEqual({
      ended: [{ kind: 'rule', name: 'a', count: 1 }],
      kept: 2,
    });
    expect(lab.ended).toEqual([END_RULE]);
    expect(lab.present.rules.map(({ number }) => number)).toEqual([3, 1, 2]);
    expect([lab.out(Y), lab.out('10.77.0.4:5000')]).toEqual([b, c]);
    // An address that nobody has any more is nobody's.
    expect(lab.in(REMOTE, '198.18.1.1:5000')).toBe('');
    expect(lab.out(X)).toMatch(/^198\.18\.0\.1:/);
  });

  it('ends what a rule that says something else could not have made', () => {
    const lab = new Lab(nat([pool('office', '10.77.0.0/24', '198.18.1.1', '198.18.1.2')]));
    for (let host = 2; host < 42; host++) lab.out(`10.77.0.${host}:5000`);
    const gone = lab.gateway.flows().filter(({ reply }) => reply.dst === parseAddress('198.18.1.2')).length;
    expect(gone).toBeGreaterThan(0);
    expect(gone).toBeLessThan(40);
    const fewer = lab.reconfigure(nat([pool('office', '10.77.0.0/24', '198.18.1.1')]));
    expect(fewer).toEqual({ ended: [{ kind: 'address', name: 'office', count: gone }], kept: 40 - gone });
    const narrower = lab.reconfigure(nat([pool('office', '10.77.0.0/28', '198.18.1.1')]));
    const inside = lab.gateway.flows().length;
    expect(narrower).toEqual({
      ended: [{ kind: 'rule', name: 'office', count: 40 - gone - inside }],
      kept: inside,
    });
  });

  it('an exemption that is taken back ends what it exempted', () => {
    const exempt = rule('exempt', {
      action: 'none',
      match: { ...matchAll, destinations: [parsePrefix('198.18.0.2/32')!] },
    });
    const lab = new Lab(nat([exempt, masquerade]));
    expect(lab.out(X)).toBe(`${X} > ${REMOTE}`);
    const other = lab.out(X, '198.18.0.3:53');
    expect(lab.reconfigure(nat([masquerade]))?.ended).toEqual([{ kind: 'rule', name: 'exempt', count: 1 }]);
    expect(lab.out(X, '198.18.0.3:53')).toBe(other);
    // And one that comes leaves what is translated.
    const line = lab.out(X);
    expect(lab.reconfigure(nat([exempt, masquerade]))).toEqual({ ended: [], kept: 2 });
    expect(lab.out(X)).toBe(line);
  });

  it('a port in quarantine stays there', () => {
    const behaviour = { ...defaultBehaviour, quarantineSeconds: 1000, parity: false };
    const lab = new Lab(nat([{ ...masquerade, ports: { first: 40000, last: 40000 }, behaviour }]), {
      timeouts: { udp: 5 },
    });
    const line = lab.out('10.77.0.2:40000');
    lab.gateway.advance(10_000);
    expect(lab.gateway.flows()).toEqual([]);
    lab.reconfigure(nat([pool('new', '10.77.0.77/32', '198.18.1.1'), ...lab.present.rules]));
    const space = lab.gateway.engine.mappings.externals.space(0, 1);
    expect(space.isFree(40000)).toBe(false);
    expect(space.isFreeFor(40000, parseAddress('10.77.0.2')!)).toBe(true);
    expect(lab.out('10.77.0.2:40000')).toBe(line);
  });

  it('a quota that comes counts the flows that are there', () => {
    const lab = new Lab(nat([masquerade]));
    for (let port = 1; port <= 3; port++) lab.out(`10.77.0.2:500${port}`);
    const limited = { ...masquerade, behaviour: { ...defaultBehaviour, flowsPerHost: 4 } };
    expect(lab.reconfigure(nat([limited]))).toEqual({ ended: [], kept: 3 });
    expect(lab.out('10.77.0.2:5004')).not.toBe('');
    expect(lab.out('10.77.0.2:5005')).toBe('');
    expect(lab.gateway.drops()).toEqual({ host_flow_limit: 1 });
    lab.reconfigure(nat([masquerade]));
    expect(lab.out('10.77.0.2:5005')).not.toBe('');
    // Off and on again: nobody is counted twice.
    lab.reconfigure(nat([{ ...masquerade, behaviour: { ...defaultBehaviour, flowsPerHost: 6 } }]));
    expect([lab.out('10.77.0.2:5006') !== '', lab.out('10.77.0.2:5007')]).toEqual([true, '']);
  });

  it('filtering that depends on addresses knows whom the flows that are there go to', () => {
    const lab = new Lab(nat([masquerade]));
    const external = externalOf(lab.out(X));
    expect(lab.in('198.18.0.2:99', external)).toBe('');
    const behaviour = { ...defaultBehaviour, filtering: 'address-dependent' } as const;
    lab.reconfigure(nat([{ ...masquerade, behaviour }]));
    expect(lab.in('198.18.0.2:99', external)).toBe(`198.18.0.2:99 > ${X}`);
    expect(lab.in('198.18.0.3:99', external)).toBe('');
  });
});

describe('what is let in', () => {
  it('ends the flows of a forward that is gone or leads elsewhere, and no others', () => {
    const [a, b, c] = [
      forward('a', 80, X),
      forward('b', 81, '10.77.0.2:5001'),
      forward('c', 82, '10.77.0.2:5002'),
    ];
    const lab = new Lab(nat([masquerade], [a, b, c]));
    for (const port of [80, 81, 82]) expect(lab.in('198.18.0.2:7', `198.18.0.1:${port}`)).not.toBe('');
    const moved = forward('c', 82, Y);
    expect(lab.reconfigure(nat([masquerade], [moved, a]))).toEqual({
      ended: [
        { kind: 'forward', name: 'b', count: 1 },
        { kind: 'forward', name: 'c', count: 1 },
      ],
      kept: 1,
    });
    expect(lab.in('198.18.0.2:7', '198.18.0.1:80')).toBe(`198.18.0.2:7 > ${X}`);
    expect(lab.in('198.18.0.2:7', '198.18.0.1:82')).toBe(`198.18.0.2:7 > ${Y}`);
    const owned = lab.gateway.engine.mappings.shared;
    const swapped = (port: number) => ((port & 0xff) << 8) | (port >> 8);
    expect([80, 81, 82].map((port) => owned.owns(17, swapped(port)))).toEqual([true, false, true]);
    // A flow from inside does not care.
    expect(lab.reconfigure(nat([masquerade], []))?.ended.map(({ name }) => name)).toEqual(['a', 'c']);
  });

  it('ends those that may no longer use it', () => {
    const lab = new Lab(nat([masquerade], [forward('a', 80, X)]));
    lab.in('198.18.0.2:7', '198.18.0.1:80');
    lab.in('198.18.0.3:7', '198.18.0.1:80');
    const narrow = forward('a', 80, X, { sources: [parsePrefix('198.18.0.3/32')!] });
    expect(lab.reconfigure(nat([masquerade], [narrow]))).toEqual({
      ended: [{ kind: 'forward', name: 'a', count: 1 }],
      kept: 1,
    });
  });

  it('ends those that an earlier forward would lead elsewhere now', () => {
    const lab = new Lab(nat([masquerade], [forward('a', 80, X)]));
    lab.in('198.18.0.2:7', '198.18.0.1:80');
    lab.in('198.18.0.3:7', '198.18.0.1:80');
    const first = forward('b', 80, Y, { sources: [parsePrefix('198.18.0.3/32')!] });
    expect(lab.reconfigure(nat([masquerade], [first, forward('a', 80, X)]))).toEqual({
      ended: [{ kind: 'forward', name: 'a', count: 1 }],
      kept: 1,
    });
    expect(lab.in('198.18.0.3:8', '198.18.0.1:80')).toBe(`198.18.0.3:8 > ${Y}`);
    expect(lab.in('198.18.0.4:8', '198.18.0.1:80')).toBe(`198.18.0.4:8 > ${X}`);
  });

  it('ends the flows of a 1:1 pair that is gone, both ways', () => {
    const lab = new Lab(nat([masquerade], [], [PAIR]));
    expect(lab.out('10.77.0.9:5000')).toBe(`198.18.1.9:5000 > ${REMOTE}`);
    expect(lab.in('198.18.0.5:9', '198.18.1.9:22')).toBe('198.18.0.5:9 > 10.77.0.9:22');
    expect(lab.reconfigure(nat([masquerade], [], [PAIR]))).toEqual({ ended: [], kept: 2 });
    expect(lab.reconfigure(nat([masquerade]))).toEqual({
      ended: [{ kind: 'pair', name: 'one', count: 2 }],
      kept: 0,
    });
  });
});

describe('the firewall', () => {
  it('ends what it would not let begin now, by the name of the rule', () => {
    const lab = new Lab(nat([masquerade]));
    lab.out(X, '198.18.0.2:53');
    const line = lab.out(X, '198.18.0.2:80');
    expect(lab.reconfigure(nat([masquerade]), { firewall: blocking(53) })).toEqual({
      ended: [{ kind: 'firewall', name: 'no 53', count: 1 }],
      kept: 1,
    });
    expect(lab.out(X, '198.18.0.2:80')).toBe(line);
    expect(lab.out(X, '198.18.0.2:53')).toBe('');
  });

  it('takes limits as kept', () => {
    const lab = new Lab(nat([masquerade]));
    for (const to of ['198.18.0.2:53', '198.18.0.3:53']) lab.out(X, to);
    const grouping = { by: 'source', prefixLength: 32 } as const;
    const connections = { count: 1, grouping, above: true };
    const limit = { perSecond: 1, burst: 1, grouping, above: true };
    for (const match of [{ connections }, { limit }]) {
      expect(lab.reconfigure(nat([masquerade]), { firewall: blocking(53, match) })).toEqual({
        ended: [],
        kept: 2,
      });
    }
  });

  it('judges nobody where it has not changed, and who is outside by anti-spoofing where it has', () => {
    const open = { ...defaultFirewall, antiSpoofing: false };
    const lab = new Lab(nat([masquerade], [forward('a', 80, X)]), { firewall: open });
    expect(lab.in('10.9.9.9:7', '198.18.0.1:80')).toBe(`10.9.9.9:7 > ${X}`);
    expect(lab.reconfigure(nat([masquerade], [forward('a', 80, X)]), { firewall: { ...open } })).toEqual({
      ended: [],
      kept: 1,
    });
    expect(lab.reconfigure(lab.present, { firewall: defaultFirewall })?.ended).toEqual([
      { kind: 'anti-spoofing', name: '', count: 1 },
    ]);
  });
});

describe('the rest', () => {
  it('new timeouts hold for the flows that are there', () => {
    const lab = new Lab(nat([masquerade]), { timeouts: { udp: 300 } });
    lab.out(X);
    lab.gateway.advance(8000);
    lab.reconfigure(nat([masquerade]), { timeouts: { udp: 10 } });
    expect(lab.gateway.flows()).toMatchObject([{ timeoutSeconds: 2 }]);
    lab.gateway.advance(4000);
    expect(lab.gateway.flows()).toEqual([]);
  });

  it('what a helper has changed goes on being put right after the helper has gone', () => {
    const lab = new Lab(nat([masquerade]), { helpers: [FTP] });
    const [client, server] = ['10.77.0.2:40000', '198.18.0.2:21'];
    const { gateway } = lab;
    gateway.sendPrivate(tcpPacket({ from: client, to: server, flags: 'S', seq: 100 }));
    const external = readPacket(gateway.receivePublic()[0]!).from;
    gateway.sendPublic(tcpPacket({ from: server, to: external, flags: 'SA', seq: 500, ack: 101 }));
    gateway.sendPrivate(tcpPacket({ from: client, to: server, flags: 'A', seq: 101, ack: 501 }));
    const command = 'PORT 10,77,0,2,156,65\r\n';
    gateway.sendPrivate(
      tcpPacket({ from: client, to: server, flags: 'PA', seq: 101, ack: 501, payload: command }),
    );
    const sent = readPacket(gateway.receivePublic().at(-1)!);
    const growth = sent.payload.length - command.length;
    expect(growth).not.toBe(0);
    gateway.receivePrivate();
    expect(
      lab.reconfigure(nat([pool('new', '10.77.0.77/32', '198.18.1.1'), masquerade]), { helpers: [] }),
    ).toEqual({
      ended: [],
      kept: 1,
    });
    const ack = 101 + command.length + growth;
    gateway.sendPublic(tcpPacket({ from: server, to: external, flags: 'A', seq: 501, ack }));
    expect(readPacket(gateway.receivePrivate()[0]!).ack).toBe(101 + command.length);
    gateway.sendPrivate(
      tcpPacket({
        from: client,
        to: server,
        flags: 'PA',
        seq: 101 + command.length,
        ack: 501,
        payload: 'QUIT\r\n',
      }),
    );
    expect(readPacket(gateway.receivePublic()[0]!).seq).toBe(ack);
    // A connection that begins now is not read.
    gateway.sendPrivate(tcpPacket({ from: '10.77.0.2:40001', to: server, flags: 'S', seq: 1 }));
    expect(gateway.engine.helpers.reads(2)).toBe(false);
  });

  it('is in force at once; the flows are looked at in slices', () => {
    const lab = new Lab(nat([pool('a', '10.77.0.0/24', '198.18.1.1'), masquerade]), { flows: 16_384 });
    for (let i = 0; i < 1200; i++) lab.out(`10.77.0.2:${1024 + i}`);
    expect(lab.reconfigure(nat([masquerade]), {}, false)).toBeNull();
    expect(lab.gateway.flows()).toHaveLength(1200);
    expect(lab.out(Y)).toMatch(/^198\.18\.0\.1:/);
    expect(lab.gateway.flows().length).toBeLessThan(1200);
    expect(lab.gateway.engine.reconfigurer.isBusy).toBe(true);
    while (lab.gateway.engine.reconfigurer.isBusy) lab.gateway.engine.tick(lab.gateway.now);
    expect(lab.gateway.flows()).toHaveLength(1);
    expect(lab.ended).toHaveLength(1200);
  });
});

it('two workers: each ends its own, and the rest goes on', () => {
  const [a, b] = [forward('a', 80, '10.77.0.2:8000'), forward('b', 81, '10.77.0.2:8001')];
  const first = nat([masquerade], [a, b]);
  const crew = new Crew({ workers: 2, flows: 256, nat: first });
  const arriving = (port: number, from: number) =>
    udpPacket({ from: `198.18.0.2:${from}`, to: `198.18.0.1:${port}`, payload: 'x' });
  const leaving = (from: number) => udpPacket({ from: `10.77.0.2:${from}`, to: REMOTE, payload: 'x' });
  const lines = [5000, 5002].map((from) => shown(crew.out(leaving(from)).map(({ packet }) => packet)));
  for (let from = 1; from <= 8; from++) for (const port of [80, 81]) crew.in(arriving(port, from));
  const to = numberRules(first.rules, nat([pool('new', '10.77.0.77/32', '198.18.1.1'), masquerade], [a]));
  const results: Reconfigured[] = [];
  const rest = { firewall: defaultFirewall, timeouts: {}, helpers: [], clampMss: true };
  for (const engine of crew.engines) {
    const done = (result: Reconfigured) => void results.push(result);
    engine.reconfigurer.apply({ nat: to, ...rest, evict: 'never', unsolicited: 'silent' }, 0, done);
  }
  crew.pass(1000);
  expect(results).toHaveLength(2);
  expect(results.flatMap(({ ended }) => ended)).toEqual([{ kind: 'forward', name: 'b', count: 8 }]);
  expect(results.reduce((sum, { kept }) => sum + kept, 0)).toBe(10);
  expect([5000, 5002].map((from) => shown(crew.out(leaving(from)).map(({ packet }) => packet)))).toEqual(
    lines,
  );
  expect(crew.in(arriving(80, 1))).toHaveLength(1);
  expect(crew.in(arriving(81, 1))).toHaveLength(0);
});
