/**
 * The check word of a flow record: whether what names the flow is what its engine wrote.
 *
 * It is over the hashes of both tuples (which are keyed, and have the protocol in them), over protocol, sides and rule in H_STATUS, the
 * time of creation and SEQUENCE. Each step is one to one in each of its words, so that a change of a single word is always found;
 * of changes to several, all but one in 2^32. The hashes are needed for the index anyway, so that the rest is a dozen
 * instructions where a flow begins and where one is adopted.
 *
 * Not in it is what changes while a flow lives (state, timer, last packet, counters): conntrack/plausible.ts looks at that.
 */

/** Words of H_STATUS that stay the same for as long as a flow lives: protocol, LIVE, sides, rule. */
export const IDENTITY = 0xff | (1 << 16) | (3 << 21) | (-1 << 23);

/** `original`, `reply`: hashes of the tuples; `sequence`: SEQUENCE once the record is whole. Never 0, which dead records have. */
export function checkOf(
  original: number,
  reply: number,
  status: number,
  created: number,
  sequence: number,
): number {
  let a = Math.imul(original ^ sequence, 0x85ebca6b);
  a ^= a >>> 15;
  let b = Math.imul(reply ^ created, 0xc2b2ae35);
  b ^= b >>> 13;
  let check = Math.imul(a ^ ((b << 16) | (b >>> 16)), 0x27d4eb2f);
  check = Math.imul(check ^ (check >>> 16) ^ (status & IDENTITY), 0x9e3779b1);
  check ^= check >>> 15;
  return check === 0 ? 1 : check;
}
