/** Address changes and what came beside them: another configuration on the running engine, and DNS by the gateway's own address. */
import { describe, expect, test } from 'vitest';
import type { Reconfigured } from '../../src/engine/reconfigure.ts';
import { type Forward, masqueradeAll, type NatConfig, type OnAddressChange } from '../../src/nat/config.ts';
import { defaultFirewall, type FirewallConfig } from '../../src/policy/firewall-config.ts';
import { config, is, rule } from '../policy/firewall/rules.ts';
import { address, Bed, EXTERNAL, GATEWAY, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, connect, ends, only, PORTS, tcp, udp, X, Y } from './nat-bed.ts';

const OTHER = '198.18.0.200';
const NONE = '0.0.0.0';
const RESOLVER = '203.0.113.53';

function natWith(onAddressChange: OnAddressChange, forwards: Forward[] = []): NatConfig {
  const nat = masqueradeAll(PORTS);
  return { ...nat, rules: nat.rules.map((rule) => ({ ...rule, onAddressChange })), forwards };
}

function forwardTo(target: string, onAddressChange: OnAddressChange): Forward {
  const ports = { first: 8080, last: 8080 };
  const targets = [{ address: address(target), port: 80 }];
  const rest = { name: 'web', address: 0, sources: [], affinitySeconds: 0, twice: false };
  return { ...rest, protocol: 17, ports, targets, onAddressChange };
}

/** Puts another configuration in force; all flows have been looked at. */
function reload(bed: Bed, nat: NatConfig, firewall: FirewallConfig = defaultFirewall) {
  const results: Reconfigured[] = [];
  const rest = { timeouts: {}, helpers: [], clampMss: true, evict: 'never', unsolicited: 'silent' } as const;
  const { reconfigurer } = bed.engine;
  reconfigurer.apply({ nat, firewall, ...rest }, bed.now | 0, (done) => results.push(done));
  const sent = bed.settle();
  while (reconfigurer.isBusy) bed.engine.tick(bed.now | 0);
  bed.forwards = nat.forwards;
  expect(results).toHaveLength(1);
  return { sent, ...results[0]! };
}

describe('a reload', () => {
  test('that asks for another policy ends nothing; the next change goes by the new one', () => {
    const bed = new Bed({ nat: natWith('end') });
    connect(bed);
    expect(reload(bed, natWith('keep'))).toEqual({ sent: [], ended: [], kept: 1 });
    bed.moveTo(NONE);
    expect(bed.flows()).toHaveLength(1);
    bed.moveTo(EXTERNAL);
    const segment = tcp(`${X}:40000`, `${A}:80`, 'PA', { seq: 101, ack: 501, payload: 'abc' });
    expect(only(PUBLIC, bed.out(segment)).src).toBe(EXTERNAL);
    bed.checkInvariants();
  });

  test('keep to end: what waits ends, and private hosts are told', () => {
    const bed = new Bed({ nat: natWith('keep') });
    connect(bed);
    bed.moveTo(NONE);
    expect(to(PRIVATE, reload(bed, natWith('end')).sent)).toHaveLength(1);
    expect(bed.flows()).toEqual([]);
    expect(bed.totals).toMatchObject({ flows_address_gone: 1, resets_sent: 1 });
    bed.checkInvariants();
  });

  test('keep to remap: what waits goes on from the address that is there', () => {
    const bed = new Bed({ nat: natWith('keep') });
    bed.out(udp(`${X}:40000`, `${A}:53`));
    bed.moveTo(OTHER);
    expect(bed.out(udp(`${X}:40000`, `${A}:53`))).toEqual([]);
    reload(bed, natWith('remap'));
    expect(ends(only(PUBLIC, bed.out(udp(`${X}:40000`, `${A}:53`))))).toBe(`${OTHER}:40000 > ${A}:53`);
    bed.checkInvariants();
  });

  test('of a forward: its own policy changes, its flows stay', () => {
    const bed = new Bed({ nat: natWith('end', [forwardTo(X, 'end')]) });
    bed.in(udp(`${A}:5000`, `${EXTERNAL}:8080`));
    expect(reload(bed, natWith('end', [forwardTo(X, 'remap')]))).toMatchObject({ ended: [], kept: 1 });
    bed.moveTo(OTHER);
    expect(ends(only(PUBLIC, bed.out(udp(`${X}:80`, `${A}:5000`))))).toBe(`${OTHER}:8080 > ${A}:5000`);
    bed.checkInvariants();
  });

  test('after a change: moved flows are judged as those of the address that they have', () => {
    const forward = forwardTo(Y, 'remap');
    const bed = new Bed({ nat: natWith('remap', [forward]) });
    bed.out(udp(`${X}:40000`, `${A}:53`));
    bed.in(udp(`${A}:5000`, `${EXTERNAL}:8080`));
    bed.moveTo(OTHER);
    expect(bed.totals).toMatchObject({ flows_remapped: 2 });
    const other = { ...forward, name: 'more', protocol: 6 };
    expect(reload(bed, natWith('remap', [forward, other]))).toMatchObject({ ended: [], kept: 2 });
    expect(reload(bed, natWith('remap', [other]))).toMatchObject({
      ended: [{ kind: 'forward', name: 'web', count: 1 }],
      kept: 1,
    });
    const [rule] = natWith('remap').rules;
    const narrower = {
      ...natWith('remap', [other]),
      rules: [{ ...rule!, ports: { first: 50000, last: 60000 } }],
    };
    expect(reload(bed, narrower)).toMatchObject({ ended: [{ kind: 'rule', count: 1 }], kept: 0 });
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants();
  });

  test('while an address is lost: flows whose forward goes end, the others wait on', () => {
    const forward = forwardTo(Y, 'keep');
    const bed = new Bed({ nat: natWith('keep', [forward]) });
    bed.out(udp(`${X}:40000`, `${A}:53`));
    bed.in(udp(`${A}:5000`, `${EXTERNAL}:8080`));
    bed.moveTo(NONE);
    expect(reload(bed, natWith('keep')).ended).toEqual([{ kind: 'forward', name: 'web', count: 1 }]);
    expect(bed.out(udp(`${X}:40000`, `${A}:53`))).toEqual([]);
    bed.moveTo(EXTERNAL);
    expect(only(PUBLIC, bed.out(udp(`${X}:40000`, `${A}:53`))).src).toBe(EXTERNAL);
    bed.checkInvariants();
  });

  test('while an address is lost: the firewall is asked about the interfaces that flows would go by', () => {
    const bed = new Bed({ nat: natWith('keep', [forwardTo(Y, 'keep')]) });
    bed.out(udp(`${X}:40000`, `${A}:53`));
    bed.in(udp(`${A}:5000`, `${EXTERNAL}:8080`));
    bed.moveTo(NONE);
    const allowed = [
      rule('accept', { inInterfaces: is('inside'), outInterfaces: is('outside') }),
      rule('accept', { inInterfaces: is('outside'), outInterfaces: is('inside') }),
    ];
    const nat = natWith('keep', [forwardTo(Y, 'keep')]);
    expect(reload(bed, nat, config([...allowed, rule('drop')]))).toMatchObject({
      ended: [],
      kept: 2,
    });
    expect(reload(bed, nat, config([rule('drop', { inInterfaces: is('outside') })]))).toMatchObject({
      ended: [{ kind: 'firewall', count: 1 }],
      kept: 1,
    });
    bed.checkInvariants();
  });
});

describe('DNS of the gateway’s own address', () => {
  const dns = { resolver: address(RESOLVER), usable: [address(RESOLVER)] };
  const query = udp(`${X}:40000`, `${GATEWAY}:53`);

  test('end: a query is answered at the new address', () => {
    const bed = new Bed({ nat: natWith('end'), dns });
    bed.out(query);
    bed.moveTo(OTHER);
    expect(bed.flows()).toEqual([]);
    const sent = only(PUBLIC, bed.out(query));
    expect([sent.src, sent.dst]).toEqual([OTHER, RESOLVER]);
    bed.checkInvariants();
  });

  test('keep, remap: as the rule says', () => {
    const bed = new Bed({ nat: natWith('keep'), dns });
    bed.out(query);
    bed.moveTo(NONE);
    expect(bed.out(query)).toEqual([]);
    expect(bed.drops).toEqual({ address_gone: 1 });
    reload(bed, natWith('remap'));
    bed.moveTo(OTHER);
    expect(ends(only(PUBLIC, bed.out(query)))).toBe(`${OTHER}:40000 > ${RESOLVER}:53`);
    expect(ends(only(PRIVATE, bed.in(udp(`${RESOLVER}:53`, `${OTHER}:40000`))))).toBe(
      `${GATEWAY}:53 > ${X}:40000`,
    );
    bed.checkInvariants();
  });
});
