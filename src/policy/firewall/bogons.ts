/**
 * Sources that do not come from outside (RFC 2827, RFC 6890): private, shared, loopback, link-local, multicast and reserved ones.
 *
 * A prefix that contains the public interface's own address is taken: the gateway is behind another NAT, or a cloud's instance.
 * The prefixes for documentation (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24) are not among them: laboratories and examples are
 * numbered from them, and nobody gains anything by forging an address that is routed nowhere.
 */
import { isWithin } from '../../nat/rules.ts';
import { type Prefix, parsePrefix, prefixMask } from '../../wire/address.ts';

const RESERVED: readonly Prefix[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/4',
  '240.0.0.0/4',
].map((text) => parsePrefix(text)!);

export class Bogons {
  private readonly trusted: readonly Prefix[];
  private prefixes: readonly Prefix[] = RESERVED;

  /** `trusted`: what is taken although reserved. */
  constructor(trusted: readonly Prefix[]) {
    this.trusted = trusted;
  }

  /** The public interface's address, 0 for none. */
  setExternal(address: number): void {
    const has = (prefix: Prefix) => ((address ^ prefix.address) & prefixMask(prefix.length)) === 0;
    this.prefixes = address === 0 ? RESERVED : RESERVED.filter((prefix) => !has(prefix));
  }

  has(source: number): boolean {
    return isWithin(this.prefixes, source) && !isWithin(this.trusted, source);
  }
}
