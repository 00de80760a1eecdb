/**
 * How the engines of a gateway have fared, for its run record, from which `natgate status` and the metrics have it. An engine that died once
 * and forwards again is no failing one; one that died again before it forwarded for SOUND_MS is, until one has.
 */
export interface EngineHealth {
  /** Engines that died since the gateway started, and of what the last one did. */
  deaths: number;
  lastDeath: string | null;
  /** ISO 8601: the first of several deaths in a row, without a sound engine between them; null: it is well. */
  failingSince: string | null;
  /** Packets that engines have stumbled over. */
  quarantined: number;
}

/** ms. An engine that forwarded so long was well. */
const SOUND_MS = 10_000;

export class HealthRecord {
  health: EngineHealth = { deaths: 0, lastDeath: null, failingSince: null, quarantined: 0 };
  private readonly changed: (health: EngineHealth) => void;
  /** First of the deaths in a row. */
  private since: string | null = null;
  private timer: NodeJS.Timeout | undefined;

  /** `changed`: what there is to be written. */
  constructor(changed: (health: EngineHealth) => void) {
    this.changed = changed;
  }

  died(reason: string, quarantined: number): void {
    clearTimeout(this.timer);
    const { deaths } = this.health;
    // From the second on it is not well.
    const failingSince = this.since;
    this.since ??= new Date().toISOString();
    this.put({ deaths: deaths + 1, lastDeath: reason, failingSince, quarantined });
  }

  /** An engine forwards (again). */
  forwards(): void {
    if (this.since === null) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.since = null;
      if (this.health.failingSince !== null) this.put({ ...this.health, failingSince: null });
    }, SOUND_MS);
    this.timer.unref();
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private put(health: EngineHealth): void {
    this.health = health;
    this.changed(health);
  }
}
