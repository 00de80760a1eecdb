/**
 * The gateways that the fuzzer drives. Each is small, so that its table and ports run out, and each is strange in a way of its
 * own. A new field of EngineConfig is fuzzed once a configuration here has it.
 */
import type { Timeouts } from '../../src/conntrack/timeouts.ts';
import type { EngineConfig } from '../../src/engine/config.ts';
import { type Route, TO_HOST, UNREACHABLE } from '../../src/engine/routes.ts';
import { masqueradeAll } from '../../src/nat/config.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';

export const PRIVATE = 0;
export const PUBLIC = 1;

export interface Configuration {
  name: string;
  flows: number;
  mtu: [private_: number, public_: number];
  ports: { first: number; last: number };
  timeouts: Partial<Timeouts>;
  /** The present at the start, ms. */
  now: number;
  /** Route tables that take turns; the first one is there from the start. */
  routes: Route[][];
  /** Addresses that the public interface has in turn. */
  externals: number[];
  /** Whatever else an engine is made from. */
  engine?: Partial<EngineConfig>;
}

export const GATEWAY = address('10.77.0.1');
const EXTERNAL = address('198.18.0.1');

export function address(text: string): number {
  return parseAddress(text)!;
}

function route(prefix: string, device: number, gateway = '', mtu = 0): Route {
  const { address: network, length } = parsePrefix(prefix)!;
  return { prefix: network, length, device, gateway: gateway === '' ? 0 : address(gateway), mtu };
}

const inside = route('10.77.0.0/24', PRIVATE);
const outside = [route('198.18.0.0/24', PUBLIC), route('0.0.0.0/0', PUBLIC, '198.18.0.254')];
const own = [route('10.77.0.1/32', TO_HOST), route('198.18.0.1/32', TO_HOST)];
const usual = [inside, ...outside, ...own];

const shortTimeouts: Partial<Timeouts> = {
  udp: 3,
  udpStream: 6,
  icmp: 2,
  generic: 4,
  tcpSynSent: 5,
  tcpEstablished: 20,
};

const base: Configuration = {
  name: 'small',
  flows: 100,
  mtu: [1500, 700],
  ports: { first: 33000, last: 33063 },
  timeouts: shortTimeouts,
  now: 0,
  routes: [
    usual,
    outside,
    [inside, ...own],
    [...usual, route('203.0.113.0/24', PUBLIC, '198.18.0.253', 576)],
    [...usual, route('203.0.113.9/32', UNREACHABLE), route('203.0.113.10/32', TO_HOST)],
  ],
  externals: [EXTERNAL, EXTERNAL, address('198.18.0.99'), 0],
};

export const configurations: readonly Configuration[] = [
  base,
  { ...base, name: 'default timeouts', flows: 1000, mtu: [1500, 1500], timeouts: {} },
  // Time wraps soon after the start.
  { ...base, name: 'crowded', flows: 7, mtu: [576, 1500], now: 0x7fff_8000 },
  { ...base, name: 'narrow', mtu: [68, 1280], now: -0x7fff_ffff },
  {
    ...base,
    name: 'strict',
    engine: {
      nat: {
        ...masqueradeAll(base.ports),
        rules: masqueradeAll(base.ports, {
          mapping: 'address-and-port-dependent',
          hairpin: false,
          overload: 'never',
          ports: 'random',
          portsPerHost: 8,
          flowsPerHost: 14,
        }).rules.map((rule) => ({
          ...rule,
          match: { ...rule.match, sources: [parsePrefix('10.77.0.0/30')!] },
        })),
      },
      evict: 'unassured',
      unsolicited: 'unreachable',
    },
  },
  {
    ...base,
    name: 'open, with helpers',
    engine: {
      nat: {
        ...masqueradeAll(base.ports, { filtering: 'endpoint-independent', overload: 'always' }),
        forwards: [
          {
            name: 'web',
            protocol: 6,
            address: 0,
            ports: { first: 80, last: 90 },
            sources: [],
            targets: [
              { address: address('10.77.0.2'), port: 8080 },
              { address: address('10.77.0.3'), port: 80 },
            ],
            affinitySeconds: 5,
            twice: false,
          },
        ],
      },
      helpers: [
        { name: 'ftp', protocol: 6, port: 21 },
        { name: 'tftp', protocol: 17, port: 69 },
        { name: 'irc', protocol: 6, port: 6667 },
        { name: 'sip', protocol: 17, port: 5060 },
        { name: 'pptp', protocol: 6, port: 1723 },
      ],
    },
  },
  { ...base, name: 'jumbo', flows: 64, mtu: [9000, 300], ports: { first: 1024, last: 65535 } },
];
