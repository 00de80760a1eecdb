/** The line in which a gateway says what the world sees of it, at the start and whenever that changes. */
import { formatAddress, formatPrefix } from '../../wire/address.ts';
import type { RunOptions } from '../options.ts';
import type { HostView } from './host-follower.ts';

/** `isFirst`: no external address has been announced before. `isReady`: packets can be translated. */
export function announcement(
  { devices, conflict, interfaces, gone }: Pick<HostView, 'devices' | 'conflict' | 'interfaces' | 'gone'>,
  options: Pick<RunOptions, 'private' | 'public'>,
  isFirst: boolean,
): { line: string; isReady: boolean } {
  const outside = options.public;
  const external = devices.at(-1)!.address;
  const waiting = (line: string) => ({ line: `waiting for ${line}`, isReady: false });
  if (gone.length > 0) return waiting(`${gone.join(' and ')} to come back`);
  if (conflict !== null) {
    return waiting(
      `another address on ${outside}: it is on the private network ${formatPrefix(conflict)} as well`,
    );
  }
  if (!interfaces.at(-1)!.up) return waiting(`${outside} to come up`);
  if (external === 0) return waiting(`an IPv4 address on ${outside}`);
  const address = formatAddress(external);
  if (!isFirst) return { line: `the external address is ${address} now`, isReady: true };
  const inside = options.private.map(({ name }) => name).join(',');
  return { line: `ready private=${inside} public=${outside} external=${address}`, isReady: true };
}
