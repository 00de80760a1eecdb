/**
 * Which free port a new mapping gets (RFC 4787 4.2, RFC 6056, RFC 7857, port randomization).
 *
 * First the internal port itself, where the rule preserves ports and nobody else has it. Else a search from a place that
 * is random, or the next one up, over ports of the same class and parity, then of the same class, then over all.
 */
import type { Random } from '../core/random.ts';
import { ANY_PORT, EVEN_PORTS, ODD_PORTS, type PortSpace } from './port-space.ts';
import { type CompiledRule, PRESERVE, SEQUENTIAL } from './rules.ts';

/** RFC 4787 REQ-3a: ports below are of one class, the others of another. */
const WELL_KNOWN = 1024;

/**
 * A port of [first, last] for `address`, whose own port is `wanted` (all host order); -1 when none is free. `isId`: query ids
 * have no parity and no class.
 */
export function choosePort(
  space: PortSpace,
  rule: CompiledRule,
  first: number,
  last: number,
  address: number,
  wanted: number,
  isId: boolean,
  random: Random,
): number {
  if (first > last) return -1;
  if (rule.choice === PRESERVE && wanted >= first && wanted <= last && space.isFreeFor(wanted, address)) {
    return wanted;
  }
  if (isId) return searchFrom(space, rule, first, last, ANY_PORT, random);
  const parity = !rule.parity ? ANY_PORT : (wanted & 1) === 0 ? EVEN_PORTS : ODD_PORTS;
  let low = first;
  let high = last;
  if (rule.portClass) {
    if (wanted < WELL_KNOWN) high = Math.min(last, WELL_KNOWN - 1);
    else low = Math.max(first, WELL_KNOWN);
  }
  const hasClass = low <= high;
  let port = hasClass ? searchFrom(space, rule, low, high, parity, random) : -1;
  if (port < 0 && hasClass && parity !== ANY_PORT)
    port = searchFrom(space, rule, low, high, ANY_PORT, random);
  if (port < 0 && (low !== first || high !== last)) {
    port = searchFrom(space, rule, first, last, parity, random);
    if (port < 0 && parity !== ANY_PORT) port = searchFrom(space, rule, first, last, ANY_PORT, random);
  }
  return port;
}

function searchFrom(
  space: PortSpace,
  rule: CompiledRule,
  first: number,
  last: number,
  parity: number,
  random: Random,
): number {
  if (rule.choice !== SEQUENTIAL) {
    return space.search(first, last, first + ((random.next() >>> 1) % (last - first + 1)), parity);
  }
  const start = space.next >= first && space.next <= last ? space.next : first;
  const port = space.search(first, last, start, parity);
  if (port >= 0) space.next = port === last ? first : port + 1;
  return port;
}
