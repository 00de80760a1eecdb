/** Another configuration on a running engine: what goes on does so byte by byte, what the new one would not have ends. */
import { describe, expect, it } from 'vitest';
import { END_RULE } from '../../src/conntrack/end-reasons.ts';
import { defaultBehaviour, matchAll } from '../../src/nat/config.ts';
import { defaultFirewall } from '../../src/policy/firewall-config.ts';
import { udpPacket } from '../../src/testing/index.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';
import {
  blocking,
  externalOf,
  forward,
  Lab,
  masquerade,
  nat,
  PAIR,
  pool,
  REMOTE,
  rule,
  shown,
  X,
  Y,
} from './reconfigure-bed.ts';

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
