/**
 * Matches that depend on more than the packet, so chosen that they are certain nevertheless: limits whose rate gives nothing back while a set is tried,
 * so that exactly the burst passes; schedules that surely hold now, or surely do not; counts of connections, which none ends.
 */
import type { Dice } from '../differential/dice.ts';

const HOUR = 3_600_000;
const ALL_DAYS = 'Sun,Mon,Tue,Wed,Thu,Fri,Sat';

/** Remembers what a set has used. */
export class Chances {
  /** The kernel finds out at most once in a tick which connections are no more: packets must not come faster. */
  isPaced = false;
  readonly #dice: Dice;
  readonly #set: number;
  readonly #now: number;
  /** Percent of its rules that have a limit, a hashlimit, a schedule each: of some sets many. */
  readonly #often: number;
  /** And that count connections. */
  readonly #counting: number;
  #hashlimits = 0;

  constructor(dice: Dice, set: number, now: number) {
    this.#dice = dice;
    this.#set = set;
    this.#now = now;
    this.#often = dice.chance(25) ? 20 : 3;
    this.#counting = dice.chance(6) ? 20 : 0;
  }

  /** Words of a match, or of none. */
  match(): string | null {
    const dice = this.#dice;
    const often = this.#often;
    if (dice.chance(this.#counting)) return this.#connlimit();
    if (dice.chance(often)) return this.#limit();
    if (dice.chance(often)) return this.#hashlimit();
    return dice.chance(often) ? this.#time() : null;
  }

  #limit(): string {
    return `-m limit --limit 1/hour --limit-burst ${this.#dice.int(1, 12)}`;
  }

  #hashlimit(): string {
    const dice = this.#dice;
    const mode = dice.pick(['srcip', 'dstip', 'srcip,dstip', '']);
    const masks = mode.split(',').filter(Boolean);
    const mask = dice.chance(30) ? masks.map((ip) => ` --hashlimit-${ip.slice(0, 3)}mask 24`).join('') : '';
    // The kernel keeps tables by name, beyond a reload of the rules.
    const name = `h${this.#set}x${++this.#hashlimits}`;
    return `-m hashlimit --hashlimit-${dice.pick(['upto', 'above'])} 1/hour --hashlimit-burst ${dice.int(1, 8)}${mode === '' ? '' : ` --hashlimit-mode ${mode}`}${mask} --hashlimit-name ${name} --hashlimit-htable-expire 3600000`;
  }

  #connlimit(): string {
    this.isPaced = true;
    const dice = this.#dice;
    const not = dice.chance(30) ? 'upto' : 'above';
    return `-m connlimit --connlimit-${not} ${dice.int(1, 6)} --connlimit-mask ${dice.pick([32, 32, 24, 16, 0])} ${dice.pick(['--connlimit-saddr', '--connlimit-saddr', '--connlimit-daddr'])}`;
  }

  #time(): string {
    const dice = this.#dice;
    const clock = (hours: number) => new Date(this.#now + hours * HOUR).toISOString().slice(11, 16);
    const day = new Date(this.#now).getUTCDay();
    // Not within hours of midnight, when today is about to be another day.
    const isMidday = [4, 20].every((hour, i) => new Date(this.#now).getUTCHours() >= hour === (i === 0));
    const today = ALL_DAYS.split(',')[day]!;
    return `-m time ${dice.pick([
      `--timestart ${clock(-dice.int(2, 9))} --timestop ${clock(dice.int(2, 9))}`,
      `--timestart ${clock(dice.int(2, 9))} --timestop ${clock(-dice.int(2, 9))}`,
      '--datestart 2020-01-01 --datestop 2037-12-31',
      '--datestop 2021-01-01T12:00:00',
      '--datestart 2037-06-01',
      `--weekdays ${ALL_DAYS}`,
      `--weekdays ${isMidday ? today : ALL_DAYS}`,
      isMidday ? `! --weekdays ${today}` : '--datestart 2036-01-01',
    ])}`;
  }
}
