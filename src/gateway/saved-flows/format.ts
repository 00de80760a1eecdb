/**
 * The file of `natgate flows save`: flows of a gateway, to be given to another one, or to the same one later.
 *
 *     line     natgate-flows 1 CRC {"natgate": version, "gateway": name, "saved": ms since 1970, "rules": names by number}
 *     then     32 words a flow, little-endian, the first of them the CRC-32 of the others
 *     last     a record with status 0: how many flows there were
 *
 * Times are ages, not moments, so the file means the same on another machine and after a boot. Reading trusts nothing: each record stands
 * by itself, so one that is damaged costs one flow; a file that ends early has lost what is missing, and that can be told since the last record
 * is missing too. Damage to the first line refuses the file: rules could not be named.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32 } from '../../core/crc32.ts';
import { isSystemError, NatgateError } from '../../core/errors.ts';

const MAGIC = 'natgate-flows';
const VERSION = '1';
/** Longest first line: 512 rules, with names. */
const MAX_LINE = 1 << 17;
const CHUNK = 2048;

/** Words of a record. */
export const SAVED = 32;
const R_CRC = 0;
/** Both tuples, original first, as in the flow table. */
export const R_TUPLES = 1;
export const R_STATUS = 7;
/** ms since the last packet that kept it alive, and since it began. */
export const R_IDLE = 8;
export const R_AGE = 9;
/** H_PACKETS to H_BYTES_HIGH. */
export const R_COUNTERS = 10;
export const COUNTER_WORDS = 5;
export const R_TRACK = 15;
/** Of the last record: how many came before it. */
const R_COUNT = R_TUPLES;

const ANEW = 'save them anew, or start without them: TCP that lives is picked up from its next packets';

export interface SavedHeader {
  /** Version of natgate that saved them. */
  natgate: string;
  /** Name of the gateway. */
  gateway: string;
  /** ms since 1970. */
  saved: number;
  /** Names of the NAT rules, by number. */
  rules: string[];
}

/** Writes a file, a record at a time. */
export class SavedFlowsWriter {
  private readonly fd: number;
  private readonly words = new Int32Array(CHUNK * SAVED);
  private readonly bytes = new Uint8Array(this.words.buffer);
  private pending = 0;
  private count = 0;

  constructor(fd: number, header: SavedHeader) {
    this.fd = fd;
    const json = JSON.stringify(header);
    writeAll(fd, Buffer.from(`${MAGIC} ${VERSION} ${checksumOf(json)} ${json}\n`));
  }

  /** `fill` is given words and the place of a record in them, all zero. */
  write(fill: (words: Int32Array, at: number) => void): void {
    const at = this.pending * SAVED;
    this.words.fill(0, at, at + SAVED);
    fill(this.words, at);
    this.words[at + R_CRC] = recordCrc(this.bytes, at);
    this.count++;
    if (++this.pending === CHUNK) this.flush();
  }

  /** The last record. Returns how many flows were written. The descriptor stays open. */
  end(): number {
    const { count } = this;
    this.write((words, at) => {
      words[at + R_COUNT] = count;
    });
    this.flush();
    return count;
  }

  private flush(): void {
    writeAll(this.fd, this.bytes.subarray(0, this.pending * SAVED * 4));
    this.pending = 0;
  }
}

/** What was wrong with the records that have been read. */
export interface Damage {
  /** Records whose checksum is wrong. */
  damaged: number;
  /** It ends before its last record. */
  truncated: boolean;
}

/** Reads a file, a record at a time. */
export class SavedFlowsReader {
  readonly header: SavedHeader;
  /** Complete once all has been read. */
  readonly damage: Damage = { damaged: 0, truncated: true };
  private readonly fd: number;
  private readonly path: string;
  private readonly words = new Int32Array(CHUNK * SAVED);
  private readonly bytes = new Uint8Array(this.words.buffer);
  private at: number;

  /** Throws NatgateError `saved_missing`, `saved_foreign`, `saved_version`, `saved_damaged`, or the system's error. */
  constructor(path: string) {
    this.path = path;
    this.fd = open(path);
    try {
      const head = Buffer.alloc(MAX_LINE);
      const length = readAll(this.fd, head, 0);
      const end = head.subarray(0, length).indexOf(10);
      this.header = this.parse(head.toString('utf8', 0, Math.max(end, 0)));
      this.at = end + 1;
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  /** Places of whole records in the words that are given with them, valid until the next. */
  *records(): Generator<{ words: Int32Array; at: number }, void, void> {
    const { words, damage } = this;
    const record = { words, at: 0 };
    let whole = 0;
    for (;;) {
      const count = Math.floor(readAll(this.fd, this.bytes, this.at) / (SAVED * 4));
      if (count === 0) return;
      this.at += count * SAVED * 4;
      for (let i = 0; i < count; i++) {
        record.at = i * SAVED;
        if (words[record.at + R_CRC] !== recordCrc(this.bytes, record.at)) damage.damaged++;
        else if (words[record.at + R_STATUS] === 0) {
          damage.truncated = words[record.at + R_COUNT] !== whole + damage.damaged;
          return;
        } else {
          whole++;
          yield record;
        }
      }
    }
  }

  private parse(line: string): SavedHeader {
    const [magic, version, checksum, ...rest] = line.split(' ');
    if (magic !== MAGIC) {
      throw new NatgateError(
        'saved_foreign',
        `${this.path} is no file of \`natgate flows save\``,
        'give one that is',
      );
    }
    if (version !== VERSION) {
      throw new NatgateError(
        'saved_version',
        `${this.path} has version ${version}, this natgate reads version ${VERSION}`,
        `restore it with the natgate that saved it, or ${ANEW}`,
      );
    }
    const json = rest.join(' ');
    if (checksum !== checksumOf(json)) {
      throw new NatgateError('saved_damaged', `the first line of ${this.path} is damaged`, ANEW);
    }
    return JSON.parse(json) as SavedHeader;
  }
}

function open(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    throw new NatgateError('saved_missing', `there is no file ${path}`, '`natgate flows save` writes one');
  }
}

function recordCrc(bytes: Uint8Array, at: number): number {
  return crc32(bytes, (at + 1) * 4, (at + SAVED) * 4) | 0;
}

function checksumOf(text: string): string {
  const bytes = Buffer.from(text);
  return (crc32(bytes, 0, bytes.length) >>> 0).toString(16).padStart(8, '0');
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** As much as there is; returns how much that was. */
function readAll(fd: number, into: Uint8Array, offset: number): number {
  let at = 0;
  while (at < into.length) {
    const got = readSync(fd, into, at, into.length - at, offset + at);
    if (got === 0) break;
    at += got;
  }
  return at;
}
