/**
 * Another configuration for an engine that runs, between two batches, on the same state.
 *
 *     apply()   everything new is in force: rules, forwards, firewall, timeouts. Costs what the configuration costs
 *     step()    once a batch: a slice of the flow table is looked at; flows that the new configuration would not have, end
 *
 * So a packet waits for a slice at most, however many flows there are, and a new flow is judged by the new configuration from the
 * first packet on. Flows that go on are only read: their mappings, ports, counters, trackers, adjustments and expectations stay.
 * Limits: a flow that is to end lives until its slice: all are looked at after capacity / SLICE batches. A firewall that counts
 * connections or limits packets is told of all flows at once, as at a start (firewall-gate.ts).
 */
import { END_RULE } from '../conntrack/end-reasons.ts';
import { C_MAPPING, COLD } from '../conntrack/flow-table.ts';
import { rfcTimeouts, type Timeouts } from '../conntrack/timeouts.ts';
import type { HelperConfig } from '../nat/alg/registry.ts';
import type { NatConfig } from '../nat/config.ts';
import { NO_MAPPING } from '../nat/mappings.ts';
import type { FirewallConfig } from '../policy/firewall-config.ts';
import type { AddressChange } from './address-change.ts';
import { applyNat } from './apply-nat.ts';
import { type Evict, evictNumber } from './fair-shares.ts';
import type { FirewallGate } from './firewall-gate.ts';
import { type EndCause, FlowJudge, UNKNOWN_RULE } from './flow-judge.ts';
import type { Helpers } from './helpers.ts';
import type { Path } from './path.ts';
import type { Sessions } from './sessions.ts';
import type { Unsolicited } from './unsolicited.ts';

/** What a running engine can be told anew; all of it, each time. */
export interface Reconfiguration {
  nat: NatConfig;
  firewall: FirewallConfig;
  timeouts: Partial<Timeouts>;
  helpers: readonly HelperConfig[];
  clampMss: boolean;
  evict: Evict;
  unsolicited: 'silent' | 'unreachable';
}

/** Flows that ended for one cause. */
export interface EndedFlows extends EndCause {
  count: number;
}

export interface Reconfigured {
  ended: EndedFlows[];
  /** Flows that go on. */
  kept: number;
}

/** The engine, as far as it can be told anew. */
export interface ReconfigurableParts {
  readonly sessions: Sessions;
  readonly helpers: Helpers;
  readonly gate: FirewallGate;
  readonly path: Path;
  readonly unsolicited: Unsolicited;
  readonly addressChange: AddressChange;
  clampMss: boolean;
}

/** Records looked at in a batch, and flows judged: some tenths of a millisecond. */
const SLICE = 8192;
const JUDGED = 512;

export class Reconfigurer {
  private readonly parts: ReconfigurableParts;
  private nat: NatConfig;
  private judge: FlowJudge | null = null;
  private rehangs = false;
  private next = 0;
  private kept = 0;
  private ended = new Map<string, EndedFlows>();
  private done: (result: Reconfigured) => void = () => {};

  constructor(parts: ReconfigurableParts, nat: NatConfig) {
    this.parts = parts;
    this.nat = nat;
  }

  /** Flows are left to be looked at. */
  get isBusy(): boolean {
    return this.judge !== null;
  }

  /** Puts `to` in force; `done` is called when all flows have been looked at. Throws NatgateError for what cannot be compiled. */
  apply(to: Reconfiguration, now: number, done: (result: Reconfigured) => void): void {
    // One at a time: who asks for the next waits for the first, or has been started anew.
    while (this.isBusy) this.step(now);
    const { sessions, helpers, gate, path } = this.parts;
    const before = this.nat;
    const isOtherFirewall = gate.setFirewall(to.firewall, now);
    const { timeouts } = sessions.tracker;
    this.rehangs = timeouts.replace({ ...rfcTimeouts, ...to.timeouts });
    applyNat(sessions, before, to.nat, evictNumber(to.evict));
    path.usesTwice = to.nat.forwards.some((forward) => forward.twice);
    helpers.configure(to.helpers);
    this.parts.clampMss = to.clampMss;
    this.parts.unsolicited.isOn = to.unsolicited === 'unreachable';
    this.parts.addressChange.reconsider();
    this.nat = to.nat;
    this.judge = new FlowJudge(before, to.nat, isOtherFirewall ? (flow) => gate.refusal(flow, now) : null);
    this.next = 0;
    this.kept = 0;
    this.ended = new Map();
    this.done = done;
    if (this.judge.mayEnd || this.rehangs) return;
    this.kept = sessions.table.count;
    this.finish();
  }

  /** A slice; once a batch. */
  step(now: number): void {
    const { judge } = this;
    if (judge === null) return;
    const { sessions } = this.parts;
    const { table, tracker, targets, mappings } = sessions;
    const { hot, cold, capacity } = table;
    const end = Math.min(this.next + SLICE, capacity);
    let flow = this.next;
    for (let judged = 0; flow < end && judged < JUDGED; flow++) {
      if (!table.isLive(flow)) continue;
      judged++;
      const target = targets.get(flow);
      const targetRule = target === undefined ? UNKNOWN_RULE : mappings.table.ruleOf(target);
      const cause = judge.judge(hot, flow, cold[flow * COLD + C_MAPPING] !== NO_MAPPING, targetRule);
      if (cause !== null) {
        this.count(cause);
        tracker.close(flow, END_RULE);
        continue;
      }
      this.kept++;
      if (this.rehangs) tracker.rehang(flow, now);
    }
    this.next = flow;
    if (flow === capacity) this.finish();
  }

  private count({ kind, name }: EndCause): void {
    const key = `${kind} ${name}`;
    const known = this.ended.get(key);
    if (known === undefined) this.ended.set(key, { kind, name, count: 1 });
    else known.count++;
  }

  private finish(): void {
    this.judge = null;
    this.done({ ended: [...this.ended.values()], kept: this.kept });
  }
}
