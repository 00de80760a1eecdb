/** What an offline trace must be told that a gateway finds on its host: private networks, the public address. */
import { networkInterfaces } from 'node:os';
import { NatgateError } from '../../core/errors.ts';
import { type Prefix, parseAddress, parsePrefix } from '../../wire/address.ts';
import { loadConfig } from '../config/load.ts';
import type { RunOptions } from '../options.ts';
import type { OfflineSetup } from './offline.ts';

/** RFC 1918 and RFC 6598: what is private where nobody says otherwise. */
const PRIVATE_NETWORKS = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'];
/** RFC 5737, where the interface has none on this host. */
const SOME_ADDRESS = '192.0.2.1';

export interface OfflineWords {
  name: string;
  stateRoot: string;
  /** Null: a gateway that masquerades everything. */
  config: string | null;
  privateNets: readonly string[];
  publicAddress: string | undefined;
  mtu: number;
}

/** Throws NatgateError `usage`, ConfigError. */
export function offlineSetup(words: OfflineWords): OfflineSetup {
  const { name, stateRoot, config, mtu } = words;
  const flags = config === null ? { private: ['private'], public: 'public' } : {};
  const { options } = loadConfig({ name, stateRoot, flags, path: config });
  if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65_535) {
    throw new NatgateError('usage', '--mtu: not an MTU', 'give a number from 68 to 65535');
  }
  return {
    options,
    networks: networksOf(options, words.privateNets),
    publicAddress: address(options, words),
    mtu,
  };
}

function networksOf(options: RunOptions, texts: readonly string[]): readonly (readonly Prefix[])[] {
  const given = texts.map((text) => {
    const prefix = text.includes('/') ? parsePrefix(text) : null;
    if (prefix === null) {
      throw new NatgateError('usage', `--private-net ${text}: not a network`, 'give e.g. 192.168.1.0/24');
    }
    return prefix;
  });
  const all = PRIVATE_NETWORKS.map((text) => parsePrefix(text)!);
  return options.private.map((inside, i) => {
    if (i === 0 && given.length > 0) return given;
    const own = inside.networks.length > 0 ? [...inside.networks] : networksOfHost(inside.name);
    return own.length > 0 || i > 0 ? own : all;
  });
}

/** Of an interface of this host, if it has one of that name. */
function networksOfHost(name: string): Prefix[] {
  return ipv4Of(name).flatMap(({ cidr }) => parsePrefix(cidr ?? '') ?? []);
}

function address({ public: outside }: RunOptions, { publicAddress }: OfflineWords): number {
  const text = publicAddress ?? ipv4Of(outside)[0]?.address ?? SOME_ADDRESS;
  const found = parseAddress(text);
  if (found === null) {
    throw new NatgateError('usage', `--public-address ${text}: not an address`, 'give e.g. 203.0.113.8');
  }
  return found;
}

function ipv4Of(name: string) {
  return (networkInterfaces()[name] ?? []).filter(({ family }) => family === 'IPv4');
}
