/** What of a private network must not be seen outside it, and whether it was. */
import { addressBytes } from './packets.ts';
import type { Captured } from './sniffer.ts';
import { CLIENT, GATEWAY_PRIVATE } from './topology.ts';

/** Further private hosts, as far as the NAT can tell, the last a router inside, which has an address behind it. */
export const CLIENT_2 = '10.77.0.3';
export const CLIENT_3 = '10.77.0.4';
export const ROUTER = '10.77.0.9';
export const BEHIND = '10.77.9.1';
const SECRETS = [CLIENT, GATEWAY_PRIVATE, CLIENT_2, CLIENT_3, ROUTER, BEHIND, '10.77.0.255'];

/** The frames in which one of the private addresses occurs at any place. Contents sent by these tests have none. */
export function leaks(frames: readonly Captured[]): string[] {
  const secrets = SECRETS.map(addressBytes);
  return frames
    .filter(({ frame }) => secrets.some((secret) => frame.includes(secret)))
    .map(({ frame }) => frame.subarray(0, 120).toString('hex'));
}
