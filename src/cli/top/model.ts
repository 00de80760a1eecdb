/** What `natgate top` knows at one moment: read anew for each look. */
import { type CounterSample, type Rates, ratesOf, sampleCounters } from '../../gateway/observe/counters.ts';
import type { Filter } from '../../gateway/observe/filter.ts';
import { isEverything } from '../../gateway/observe/filter.ts';
import { flowMatcher } from '../../gateway/observe/filter-match.ts';
import { contextOf, type FlowContext } from '../../gateway/observe/flow-list.ts';
import { type TopOrder, type TopSample, TopSampler } from '../../gateway/observe/top.ts';
import type { RunRecord } from '../../gateway/run/run-record.ts';
import { type ExternalUse, readStatus, recordOf } from '../../gateway/status.ts';
import type { WhichGateway } from '../../gateway/teardown.ts';
import { ClientNames } from '../../host/client-names.ts';

export interface TopModel {
  name: string;
  /** Since the start, ms. */
  uptime: number;
  capacity: number;
  /** Live ones, whatever the filter. */
  flowCount: number;
  /** null at the first look. */
  rates: Rates | null;
  externals: ExternalUse[];
  sample: TopSample;
  clientName(address: number): string;
}

export class TopReader {
  private readonly which: WhichGateway;
  private readonly names = new ClientNames();
  private sampler: TopSampler | null = null;
  private record: RunRecord | null = null;
  private context: FlowContext | null = null;
  private counters: CounterSample | null = null;

  constructor(which: WhichGateway) {
    this.which = which;
  }

  close(): void {
    this.sampler?.close();
    this.sampler = null;
  }

  /** Throws NatgateError `not_running`. */
  read(filter: Filter, order: TopOrder): TopModel {
    const record = recordOf(this.which);
    // Another run, or other names of rules after a reload.
    if (this.sampler === null || record.started !== this.record?.started) {
      this.close();
      this.counters = null;
      this.context = contextOf(record, this.names);
      this.sampler = new TopSampler(record, this.context);
    }
    this.record = record;
    Object.assign(this.context!, contextOf(record, this.names));
    const status = readStatus(this.which);
    const before = this.counters;
    this.counters = sampleCounters(record);
    const matches = isEverything(filter) ? null : flowMatcher(filter);
    return {
      name: record.name,
      uptime: Date.now() - Date.parse(record.started),
      capacity: status.flows.capacity,
      flowCount: status.flows.count,
      rates: before === null ? null : ratesOf(record, before, this.counters),
      externals: status.externals,
      sample: this.sampler.sample(performance.now(), order, matches),
      clientName: (address) => this.names.nameOf(address),
    };
  }
}
