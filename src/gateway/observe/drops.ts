/**
 * The packets that were dropped last, out of the rings that the engine always writes: no need to ask anybody, but to be root. The rings
 * hold some thousands; in a flood not every packet is written (engine/drop-log.ts), but each is counted.
 */
import type { TapRecord } from '../../engine/tap-record.ts';
import type { Filter } from './filter.ts';
import { packetMatcher } from './filter-match.ts';
import { isoTime } from './iso-time.ts';
import { packetLine } from './packet-line.ts';
import { REMEDIES } from './remedies.ts';
import { resourceText } from './resource-text.ts';
import {
  clientText,
  flowIdOf,
  interfaceName,
  meaningOf,
  ruleName,
  sideOf,
  subjectOf,
  type TapNames,
} from './tap-names.ts';
import { fileSource, TapReader } from './tap-reader.ts';

export interface Drop {
  /** ISO 8601. */
  time: string;
  interface: string;
  side: 'private' | 'public';
  reason: string;
  meaning: string;
  packet: string;
  flow: string | null;
  /** The private host. */
  client: string | null;
  /** The NAT rule. */
  rule: string | null;
  /** What it was for want of. */
  resource: string | null;
  remedy: string | null;
}

export interface DropBatch {
  drops: Drop[];
  /** Overwritten before they were read. */
  missed: number;
  /** Counted and never written, since the gateway began. */
  leftOut: number;
}

/** At once; a ring has one or two. */
const MOST_CHUNKS = 8;

export function dropOf(record: TapRecord, names: TapNames): Drop {
  return {
    time: isoTime(record.time),
    interface: interfaceName(names, record.device),
    side: sideOf(record.flags),
    reason: record.reasonName,
    meaning: meaningOf(record),
    packet: packetLine(record.packet, record.length),
    flow: flowIdOf(record),
    client: record.client === 0 ? null : clientText(names, record.client),
    rule: ruleName(names, record.rule) || null,
    resource: resourceText(record, names),
    remedy: REMEDIES[record.reasonName] ?? null,
  };
}

export class DropReader {
  readonly #readers: readonly TapReader[];
  readonly #matches: ReturnType<typeof packetMatcher>;

  /** `paths`: the tap files, by worker. Throws SystemError, NatgateError `tap_foreign`. */
  constructor(paths: readonly string[], filter: Filter) {
    this.#readers = paths.map((path, worker) => new TapReader(fileSource(path), 'drops', 'oldest', worker));
    this.#matches = packetMatcher(filter);
  }

  /** What has come since the last call, oldest first; at first what there is. */
  read(names: TapNames): DropBatch {
    const records: TapRecord[] = [];
    let missed = 0;
    let leftOut = 0;
    for (const reader of this.#readers) {
      // A ring that is written as fast as it is read does not end.
      for (let more = true, chunks = 0; more && chunks < MOST_CHUNKS; chunks++) {
        const batch = reader.read();
        records.push(...batch.records);
        missed += batch.missed;
        more = batch.more;
      }
      leftOut += reader.leftOut;
    }
    if (this.#readers.length > 1) records.sort((a, b) => a.time - b.time);
    const drops = records
      .filter((record) => this.#matches(subjectOf(record, names)))
      .map((record) => dropOf(record, names));
    return { drops, missed, leftOut };
  }

  close(): void {
    for (const reader of this.#readers) reader.close();
  }
}
