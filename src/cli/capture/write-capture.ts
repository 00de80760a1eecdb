/**
 * `natgate capture`: what the gateway sends, to a file or to standard output, block by block.
 *
 *     Ctrl-C, SIGTERM      the counts are written behind what was captured
 *     nobody reads (EPIPE) it ends at once
 */
import { createWriteStream } from 'node:fs';
import { interfaceStatistics } from '../../gateway/capture/pcapng.ts';
import { openStream } from '../client.ts';
import { untilInterrupted } from '../output.ts';
import { type BlockCounts, PcapngBlocks } from './pcapng-blocks.ts';

export interface CaptureWords {
  filter: string;
  side: 'private' | 'public' | 'both';
  flow: string | null;
  dropped: boolean;
  snaplen: number;
  count: number | null;
  duration: number | null;
}

/** `file` null: standard output. Throws NatgateError as client.ts does, and the system's errors of the file. */
export async function writeCapture(
  which: { name: string; stateRoot: string },
  words: CaptureWords,
  file: string | null,
): Promise<void> {
  const response = await openStream(which, 'POST', '/v1/capture', words);
  const target = file === null ? process.stdout : createWriteStream(file, { mode: 0o600 });
  const { write, signal, end } = untilInterrupted(target);
  const stop = () => response.destroy();
  signal.addEventListener('abort', stop);
  const started = Date.now();
  const blocks = new PcapngBlocks();
  let isSaid = false;
  try {
    for await (const part of response) {
      await write(blocks.take(part as Buffer));
      if (!isSaid)
        process.stderr.write(`natgate: capturing${file === null ? '' : ` to ${file}`}; Ctrl-C ends it\n`);
      isSaid = true;
    }
  } catch (error) {
    // We, or a gateway that ends, cut it off.
    if (!signal.aborted && (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    response.destroy();
    end();
  }
  await finish(target, blocks.counts, started);
  if (file !== null)
    await new Promise<void>((resolve) => (target as NodeJS.WritableStream).end(() => resolve()));
  const { packets, missed } = blocks.counts;
  const total = packets.reduce((sum, count) => sum + count, 0);
  const lost = missed === 0 ? '' : `; ${missed} came too fast and are missing`;
  process.stderr.write(`natgate: ${total} packets captured${lost}\n`);
}

/** The counts, behind what was captured. */
async function finish(
  target: NodeJS.WritableStream,
  { packets, missed }: BlockCounts,
  started: number,
): Promise<void> {
  const ended = Date.now();
  const statistics = packets.map((received, i) =>
    interfaceStatistics({ interface: i, started, ended, received, dropped: i === 0 ? missed : 0 }),
  );
  if (!target.writable) return;
  await new Promise<void>((resolve) => {
    target.write(Buffer.concat(statistics), () => resolve());
  });
}
