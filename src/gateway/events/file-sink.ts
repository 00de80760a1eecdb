/**
 * Events as lines of JSON in a file. When it would become larger than `rotateBytes` it is renamed to PATH.1, which was renamed to PATH.2
 * before that, and so on; `keep` of them stay. Who rotates by another program moves the file away and has the gateway reload.
 *
 * Invariant: a file holds whole lines: what of a line is there when the disk is full is taken back.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  write,
} from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { isSystemError } from '../../core/errors.ts';
import { type FileSinkOptions, sinkName } from './options.ts';
import { LineSink, type SaySink } from './sink.ts';

const writeTo = promisify(write);
const WRITE_BYTES = 2 ** 22;
const MODE = 0o640;
const FOLDER_MODE = 0o750;

export class FileSink extends LineSink {
  readonly #options: FileSinkOptions;
  #fd: number | null = null;

  constructor(options: FileSinkOptions, say: SaySink, mostBytes?: number) {
    super(sinkName(options), options.only, say, mostBytes);
    this.#options = options;
  }

  override reopen(): void {
    this.end();
  }

  protected async deliver(lines: readonly string[], from: number): Promise<number> {
    let fd = this.#open();
    let size = fstatSync(fd).size;
    const first = Buffer.byteLength(lines[from]!);
    if (size > 0 && size + first > this.#options.rotateBytes) {
      this.#rotate();
      fd = this.#open();
      size = fstatSync(fd).size;
    }
    let count = 1;
    let bytes = first;
    const room = Math.min(this.#options.rotateBytes - size, WRITE_BYTES);
    while (from + count < lines.length) {
      const more = Buffer.byteLength(lines[from + count]!);
      if (bytes + more > room) break;
      bytes += more;
      count++;
    }
    const buffer = Buffer.from(lines.slice(from, from + count).join(''));
    let done = 0;
    try {
      while (done < buffer.length) {
        done += (await writeTo(fd, buffer, done, buffer.length - done)).bytesWritten;
      }
    } catch (error) {
      if (done > 0 && this.#fd === fd) ftruncateSync(fd, size);
      throw error;
    }
    return count;
  }

  protected override end(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  #open(): number {
    const { O_WRONLY, O_APPEND, O_CREAT } = constants;
    if (this.#fd === null) mkdirSync(dirname(this.#options.path), { recursive: true, mode: FOLDER_MODE });
    this.#fd ??= openSync(this.#options.path, O_WRONLY | O_APPEND | O_CREAT, MODE);
    return this.#fd;
  }

  #rotate(): void {
    const { path, keep } = this.#options;
    this.end();
    if (keep === 0) rmSync(path, { force: true });
    for (let number = keep; number > 0; number--) {
      const from = number === 1 ? path : `${path}.${number - 1}`;
      try {
        renameSync(from, `${path}.${number}`);
      } catch (error) {
        if (!isSystemError(error, 'ENOENT')) throw error;
      }
    }
  }
}
