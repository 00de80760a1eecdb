/**
 * A capture as pcapng, piece by piece: the head at once, then what each look at the rings brings, at last (and after each gap) the counts. Whoever takes the
 * pieces sets the pace: while he does not take one the rings go on, and what he misses is counted.
 */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { PRIVATE_SIDE, PUBLIC_SIDE } from '../../engine/tap-filter.ts';
import { KIND_IN, TAP_RELATED, type TapRecord } from '../../engine/tap-record.ts';
import type { Filter } from '../observe/filter.ts';
import { packetMatcher } from '../observe/filter-match.ts';
import { compileForEngine } from '../observe/filter-program.ts';
import { resourceText } from '../observe/resource-text.ts';
import { flowIdOf, meaningOf, subjectOf, type TapNames, translationText } from '../observe/tap-names.ts';
import { packageVersion } from '../version.ts';
import {
  enhancedPacket,
  INBOUND,
  interfaceDescription,
  interfaceStatistics,
  OUTBOUND,
  sectionHeader,
} from './pcapng.ts';
import type { Subscription, Taps } from './taps.ts';

/** How often the rings are looked at while nothing comes. */
export const LOOK_MS = 20;
export const MAX_SNAP = 65_535;

export interface CaptureRequest {
  filter: Filter;
  side: 'private' | 'public' | 'both';
  /** Id of a flow (observe/flow-list.ts), or its number alone; null: all. */
  flow: string | null;
  dropped: boolean;
  snapLength: number;
  /** Packets; null: until somebody ends it. */
  count: number | null;
  /** ms; null likewise. */
  durationMs: number | null;
}

/** `names`: asked at each look, since a reload may change them. `signal` ends it, with the counts. Throws as Taps.subscribe(). */
export async function* captureStream(
  request: CaptureRequest,
  taps: Taps,
  names: () => TapNames,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  const { program } = compileForEngine(request.filter);
  const sides = { private: PRIVATE_SIDE, public: PUBLIC_SIDE, both: PRIVATE_SIDE | PUBLIC_SIDE };
  const subscription = await taps.subscribe({
    program,
    sides: sides[request.side],
    dropped: request.dropped,
    snapLength: request.snapLength,
  });
  try {
    yield* pieces(request, subscription, names, signal);
  } finally {
    subscription.close();
  }
}

async function* pieces(
  request: CaptureRequest,
  subscription: Subscription,
  names: () => TapNames,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  const { devices } = names();
  const started = Date.now();
  const counts = devices.map(() => 0);
  let missed = 0;
  let left = request.count ?? Number.POSITIVE_INFINITY;
  const wanted = matcher(request);
  // Which interface they were of is not known: the first one has them.
  const statistics = () => {
    const ended = Date.now();
    return Buffer.concat(
      counts.map((received, i) =>
        interfaceStatistics({ interface: i, started, ended, received, dropped: i === 0 ? missed : 0 }),
      ),
    );
  };
  yield Buffer.concat([
    sectionHeader(`natgate ${packageVersion()}`),
    ...devices.map(({ name, side }) => interfaceDescription(name, side, request.snapLength)),
  ]);
  // By a clock that nobody sets.
  const until = performance.now() + (request.durationMs ?? Number.POSITIVE_INFINITY);
  for (;;) {
    const polled = subscription.poll();
    const known = names();
    missed += polled.missed;
    const blocks: Buffer[] = [];
    for (const record of polled.records) {
      if (left === 0 || record.device >= counts.length || !wanted(record, known)) continue;
      left--;
      counts[record.device]!++;
      blocks.push(blockOf(record, known, request.snapLength));
    }
    // Whoever ends the capture by hanging up knows what he missed, too.
    if (polled.missed > 0) blocks.push(statistics());
    if (blocks.length > 0) yield Buffer.concat(blocks);
    const isOver = left === 0 || signal.aborted || subscription.isClosed || performance.now() >= until;
    if (isOver) break;
    // Others want to be served meanwhile.
    if (polled.more) await setImmediate();
    else {
      await sleep(Math.max(Math.min(LOOK_MS, until - performance.now()), 1), undefined, { signal }).catch(
        () => {},
      );
    }
  }
  yield statistics();
}

/** What the engine could not decide. */
function matcher(request: CaptureRequest): (record: TapRecord, names: TapNames) => boolean {
  const { filter, flow, dropped, side } = request;
  const { isExact } = compileForEngine(filter);
  const matches = isExact ? null : packetMatcher(filter);
  return (record, names) => {
    if (dropped && record.reason === 0) return false;
    // Others may capture what this one does not want.
    const device = names.devices[record.device];
    if (side !== 'both' && device?.side !== side) return false;
    if (flow !== null && !isFlow(record, flow)) return false;
    if (matches !== null) return matches(subjectOf(record, names));
    return true;
  };
}

export function isFlow(record: TapRecord, flow: string): boolean {
  if (record.handle < 0) return false;
  return flow.includes('.') ? flowIdOf(record) === flow : `${record.handle >> 1}` === flow;
}

function blockOf(record: TapRecord, names: TapNames, snapLength: number): Buffer {
  const comment = commentOf(record, names);
  return enhancedPacket({
    interface: record.device,
    time: record.time,
    direction: record.kind === KIND_IN ? INBOUND : OUTBOUND,
    packet: record.packet.subarray(0, snapLength),
    length: record.length,
    comments: comment === '' ? [] : [comment],
  });
}

/** `flow 0.3.1, 10.0.0.2:4000 -> 198.18.0.1:4000`; `dropped: no_free_port: …` */
export function commentOf(record: TapRecord, names: TapNames): string {
  const parts: string[] = [];
  const flow = flowIdOf(record);
  const isRelated = (record.flags & TAP_RELATED) !== 0;
  if (flow !== null) parts.push(`${isRelated ? 'about flow' : 'flow'} ${flow}`);
  if (record.to !== null && !isRelated) {
    const text = translationText(record.from, record.to, record.protocol);
    if (text !== '') parts.push(text);
  }
  if (record.reason !== 0) {
    const resource = resourceText(record, names);
    parts.push(
      `dropped: ${record.reasonName}: ${meaningOf(record)}${resource === null ? '' : ` (${resource})`}`,
    );
  }
  return parts.join(', ');
}
