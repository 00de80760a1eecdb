/**
 * The words of which the NAT options are made: addresses, ranges, prefixes, ports. Each parser gets an OptionText, so
 * that a refusal quotes the option as it was typed, says what is wrong with it, and shows one that is right.
 */
import { NatgateError } from '../core/errors.ts';
import type { PortRange, Prefix } from '../nat/config.ts';
import { formatAddress, formatPrefix, hostOrder, parseAddress, prefixMask } from '../wire/address.ts';

/** A word that cannot be taken. As a flag's, its message says which; `what` is the rest of it. */
export class Refusal extends NatgateError {
  readonly what: string;

  constructor(subject: string, what: string, remedy: string) {
    super('usage', `${subject}: ${what}`, remedy);
    this.what = what;
  }
}

/** An option as typed. */
export class OptionText {
  readonly option: string;
  readonly text: string;
  /** How to say it right, after "e.g.". */
  readonly example: string;

  constructor(option: string, text: string, example: string) {
    this.option = option;
    this.text = text;
    this.example = example;
  }

  /** The error to throw: `what` is wrong. The hint is `remedy`, else the example. */
  refuse(what: string, remedy = `e.g. --${this.option} ${this.example}`): Refusal {
    return new Refusal(`${this}`, what, remedy);
  }

  toString(): string {
    return `--${this.option} ${this.text}`;
  }
}

/** An address that a host can have: not 0.0.0.0/8, loopback, multicast or above. */
export function hostAddress(from: OptionText, text: string): number {
  const address = parseAddress(text);
  if (address === null) throw from.refuse(`${quoted(text)} is no IPv4 address`);
  requireHosts(from, { address, length: 32 });
  return address;
}

/** `a.b.c.d/n`, or one address; host bits must be zero. `0.0.0.0/0` is everybody. */
export function prefix(from: OptionText, text: string): Prefix {
  const match = /^([\d.]+)(?:\/(0|[1-9]\d?))?$/.exec(text);
  const address = parseAddress(match?.[1] ?? '');
  const length = Number(match?.[2] ?? 32);
  if (address === null || length > 32) throw from.refuse(`${quoted(text)} is no prefix of IPv4 addresses`);
  const network = { address: address & prefixMask(length), length };
  if (network.address !== address) {
    throw from.refuse(
      `${text} has bits set behind its length`,
      `the prefix is ${formatPrefix(network)}; one address is ${formatAddress(address)}/32`,
    );
  }
  return network;
}

/** A prefix of addresses that hosts can have. */
export function hostPrefix(from: OptionText, text: string): Prefix {
  const network = prefix(from, text);
  requireHosts(from, network);
  return network;
}

function requireHosts(from: OptionText, network: Prefix): void {
  const first = hostOrder(network.address) >>> 0;
  const last = first + 2 ** (32 - network.length) - 1;
  const [low, high] = [first >>> 24, last / 2 ** 24];
  const what = formatPrefix(network).replace('/32', '');
  if (low === 0) throw from.refuse(`${what} is within 0.0.0.0/8, which no host has`);
  if (high >= 224) throw from.refuse(`${what} is multicast or reserved`);
  if (low <= 127 && high >= 127) throw from.refuse(`${what} is within loopback, 127.0.0.0/8`);
}

/** `80` or `8000-8010`, within `least`-65535. */
export function portRange(from: OptionText, text: string, least = 1): PortRange {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first < least || last > 65_535) {
    throw from.refuse(`${quoted(text)} is no port or range of ports within ${least}-65535`);
  }
  if (first > last) throw from.refuse(`the range ${text} ends before it begins`);
  return { first, last };
}

export function port(from: OptionText, text: string): number {
  const { first, last } = portRange(from, text);
  if (first !== last || text.includes('-')) throw from.refuse(`${text} must be one port`);
  return first;
}

/** Splits at the first `separator`; null where there is none. */
export function splitOnce(text: string, separator: string): [string, string] | null {
  const at = text.indexOf(separator);
  return at < 0 ? null : [text.slice(0, at), text.slice(at + separator.length)];
}

export function quoted(text: string): string {
  return text === '' ? 'an empty word' : text;
}
