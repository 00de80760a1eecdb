import type { Reconfiguration, Reconfigured } from '../../src/engine/reconfigure.ts';
import { numberRules } from '../../src/gateway/reload/rule-numbers.ts';
import type { HelperConfig } from '../../src/nat/alg/registry.ts';
import {
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
import { MemoryGateway, type MemoryGatewayOptions, readPacket, udpPacket } from '../../src/testing/index.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';
import { config, rule as firewallRule, is } from '../policy/firewall/rules.ts';

export const PORTS = { first: 32768, last: 65535 };
export const X = '10.77.0.2:5000';
export const Y = '10.77.0.3:5000';
export const REMOTE = '198.18.0.2:53';
export const FTP: HelperConfig = { name: 'ftp', protocol: 6, port: 21 };

export const masquerade = masqueradeAll(PORTS).rules[0]!;

export function rule(name: string, fields: Partial<NatRule>): NatRule {
  return { ...masquerade, name, ...fields };
}

export function pool(name: string, source: string, ...addresses: string[]): NatRule {
  return rule(name, {
    action: 'pool',
    addresses: addresses.map((text) => parseAddress(text)!),
    ports: { first: 1024, last: 65535 },
    match: { ...matchAll, sources: [parsePrefix(source)!] },
  });
}

export function nat(rules: NatRule[], forwards: Forward[] = [], prefixes: PrefixPair[] = []): NatConfig {
  return { rules, forwards, prefixes };
}

export function forward(name: string, port: number, to: string, fields: Partial<Forward> = {}): Forward {
  const [address = '', internal] = to.split(':');
  const targets = [{ address: parseAddress(address)!, port: Number(internal) }];
  const ports = { first: port, last: port };
  const rest = { address: 0, sources: [], affinitySeconds: 0, twice: false };
  return { name, protocol: 17, ports, targets, ...rest, ...fields };
}

export const PAIR: PrefixPair = {
  name: 'one',
  internal: parsePrefix('10.77.0.9/32')!,
  external: parsePrefix('198.18.1.9/32')!,
};

export const blocking = (port: number, match: Partial<FirewallMatch> = {}): FirewallConfig =>
  config([
    firewallRule(
      'drop',
      { destinationPorts: [is({ first: port, last: port })], ...match },
      { name: `no ${port}` },
    ),
  ]);

export class Lab {
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

export function shown(packets: Uint8Array[]): string {
  return packets
    .map((packet) => {
      const { from, to } = readPacket(packet);
      return `${from} > ${to}`;
    })
    .join();
}

export function externalOf(line: string): string {
  return line.split(' > ')[0]!;
}
