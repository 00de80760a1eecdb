/** Whether an engine stands by for the moment in which the one that forwards dies: for the run record, `natgate status` and the metrics. */

export type StandbyState = 'ready' | 'loading' | 'failed' | 'off';

export interface Standby {
  /** ready: loaded; loading: it is, or will be in some seconds; failed: it ended, and another one is made; off: none is wanted. */
  state: StandbyState;
  /** ISO 8601: since when it is ready; null: it is not. */
  since: string | null;
  /** ISO 8601: when another one is made after one that failed; null: none failed. */
  again: string | null;
}

export const NO_STANDBY: Standby = { state: 'off', since: null, again: null };

/** Says how the standby is, whenever that has become something else. */
export class StandbyReport {
  private said: Standby = NO_STANDBY;
  private readonly changed: (standby: Standby) => void;

  constructor(changed: (standby: Standby) => void) {
    this.changed = changed;
  }

  ready(): void {
    if (this.said.state !== 'ready') this.say('ready', new Date().toISOString(), null);
  }

  loading(): void {
    if (this.said.state !== 'loading') this.say('loading', null, null);
  }

  /** Another one is made in `ms`. */
  failed(ms: number): void {
    this.say('failed', null, new Date(Date.now() + ms).toISOString());
  }

  private say(state: StandbyState, since: string | null, again: string | null): void {
    this.said = { state, since, again };
    this.changed(this.said);
  }
}
