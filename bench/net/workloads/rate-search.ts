/** The search for the highest rate at which next to nothing is lost. */

/** What came of offering a rate for a while. */
export interface Trial {
  /** A second, as measured. */
  offered: number;
  delivered: number;
}

/** Share of what was sent. */
export const LOSS_LIMIT = 0.001;
/** A sender that did less than this share of what it was asked for says nothing about the rate. */
const ENOUGH = 0.97;
/** The search ends when what passed and what failed are that close. */
const PRECISION = 1.05;
/** First rate, as a share of what is delivered when the sender offers all it can. */
const FIRST_GUESS = 0.9;
const FALL = 0.6;
/** Each at most twice. */
const MOST_RATES = 12;

/**
 * Returns the highest rate delivered with a loss of at most LOSS_LIMIT; 0 when even a trickle is lost. `offer` makes a
 * trial; rate 0 is all that the sender can.
 *
 * The full offer is tried first: what loses nothing there has no limit but the sender. Else the rate falls until one
 * passes, and then the gap to the lowest that failed is halved until it is 5 %. Every trial that goes wrong is made a
 * second time: on a shared machine a processor may be away for some milliseconds, which says nothing about the rate.
 */
export async function highestRate(offer: (rate: number) => Promise<Trial>): Promise<number> {
  let best = 0;
  /** Whether the rate can be had; what is delivered without loss counts even when the sender was too slow. */
  const passes = async (rate: number): Promise<boolean> => {
    const { offered, delivered } = await offer(rate);
    if (delivered < offered * (1 - LOSS_LIMIT)) return false;
    best = Math.max(best, delivered);
    return offered >= rate * ENOUGH;
  };

  const full = await offer(0);
  if (full.delivered >= full.offered * (1 - LOSS_LIMIT)) {
    await passes(0);
    return Math.max(best, full.delivered);
  }
  let passed = 0;
  let failed = full.offered;
  let rate = full.delivered * FIRST_GUESS;
  for (let i = 0; i < MOST_RATES && rate > 1 && !(passed > 0 && failed / passed <= PRECISION); i++) {
    if ((await passes(rate)) || (await passes(rate))) passed = rate;
    else failed = rate;
    rate = passed === 0 ? failed * FALL : Math.sqrt(passed * failed);
  }
  return best;
}
