/** `natgate trace --packet FILE`: packets of a capture through an engine in memory. */
import { readFileSync } from 'node:fs';
import { NatgateError } from '../../core/errors.ts';
import { readCapture } from '../../gateway/capture/capture-file.ts';
import { OfflineGateway } from '../../gateway/capture/offline.ts';
import { type OfflineWords, offlineSetup } from '../../gateway/capture/offline-setup.ts';
import { explainText } from '../../gateway/observe/explain-text.ts';
import type { Filter } from '../../gateway/observe/filter.ts';
import { packetMatcher } from '../../gateway/observe/filter-match.ts';
import { untilInterrupted } from '../output.ts';

export interface OfflineOptions extends OfflineWords {
  packet: string;
  side: 'private' | 'public' | null;
  json: boolean;
  /** Packets at most. */
  count: number | null;
}

/** Throws NatgateError `capture_invalid`, `capture_unreadable`, `usage`, ConfigError. */
export async function traceOffline(options: OfflineOptions, filter: Filter): Promise<void> {
  const gateway = new OfflineGateway(offlineSetup(options));
  const capture = readCapture(contents(options.packet));
  const matches = packetMatcher(filter);
  const { write, signal, end } = untilInterrupted();
  let own = 0;
  let left = options.count ?? Number.POSITIVE_INFINITY;
  try {
    for (const packet of capture.packets) {
      if (signal.aborted || left <= 0) break;
      const device = gateway.deviceOf(packet, options.side);
      if (device === null) {
        own++;
        continue;
      }
      for (const explained of gateway.handle(packet, device, matches)) {
        left--;
        await write(options.json ? `${JSON.stringify(explained)}\n` : explainText(explained));
      }
    }
  } finally {
    end();
  }
  const { foreign, truncated } = capture;
  if (own > 0)
    process.stderr.write(`natgate: ${own} packets left a gateway already, and were not gone through\n`);
  if (foreign > 0) process.stderr.write(`natgate: ${foreign} packets are not IPv4\n`);
  if (truncated > 0) {
    process.stderr.write(
      `natgate: ${truncated} packets were cut off when they were captured (\`tcpdump -s 0\`)\n`,
    );
  }
}

function contents(path: string): Uint8Array {
  try {
    // yargs makes an empty text of a dash.
    return readFileSync(path === '-' || path === '' ? 0 : path);
  } catch (error) {
    throw new NatgateError(
      'capture_unreadable',
      (error as Error).message,
      'give a capture, or - for standard input',
    );
  }
}
