/** `natgate trace` of a running gateway. */
import type { Explained } from '../../gateway/observe/explain.ts';
import { explainText } from '../../gateway/observe/explain-text.ts';
import { type Filter, formatFilter } from '../../gateway/observe/filter.ts';
import { untilInterrupted } from '../output.ts';
import { readEvents } from '../server-events.ts';

/** Throws NatgateError as client.ts does. */
export async function traceLive(
  which: { name: string; stateRoot: string },
  filter: Filter,
  { json, count }: { json: boolean; count: number | null },
): Promise<void> {
  const { write, signal, end } = untilInterrupted();
  const path = `/v1/trace?filter=${encodeURIComponent(formatFilter(filter))}`;
  let left = count ?? Number.POSITIVE_INFINITY;
  try {
    for await (const { kind, data } of readEvents(which, path, signal)) {
      if (kind === 'ready' && !json) process.stderr.write('natgate: waiting for packets; Ctrl-C ends it\n');
      if (kind === 'missed') {
        const { records } = data as { records: number };
        process.stderr.write(`natgate: ${records} records came too fast, and are missing here\n`);
      }
      if (kind !== 'packet') continue;
      const { packet } = data as { packet: Explained };
      await write(json ? `${JSON.stringify(packet)}\n` : explainText(packet));
      if (--left <= 0) break;
    }
  } finally {
    end();
  }
}
