/** Events as lines of JSON on standard output. Written by this thread itself: what Node gives a thread as stdout goes by the main thread. */
import { write } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isSystemError } from '../../core/errors.ts';
import { type StdoutSinkOptions, sinkName } from './options.ts';
import { LineSink, type SaySink } from './sink.ts';

const writeTo = promisify(write);
const STDOUT = 1;
const MOST_LINES = 512;
/** A pipe that is full and does not block. */
const FULL_MS = 10;

export class StdoutSink extends LineSink {
  /** What of the lines delivered last is not out yet: a line is never left half. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(options: StdoutSinkOptions, say: SaySink) {
    super(sinkName(options), options.only, say);
  }

  protected async deliver(lines: readonly string[], from: number): Promise<number> {
    await this.#writeRest();
    const some = lines.slice(from, from + MOST_LINES);
    this.#rest = Buffer.from(some.join(''));
    await this.#writeRest();
    return some.length;
  }

  async #writeRest(): Promise<void> {
    while (this.#rest.length > 0) {
      try {
        const { bytesWritten } = await writeTo(STDOUT, this.#rest, 0, this.#rest.length);
        this.#rest = this.#rest.subarray(bytesWritten);
      } catch (error) {
        if (!isSystemError(error, 'EAGAIN')) {
          // Nobody reads any more: the lines come again as a whole.
          this.#rest = Buffer.alloc(0);
          throw error;
        }
        await sleep(FULL_MS);
      }
    }
  }
}
