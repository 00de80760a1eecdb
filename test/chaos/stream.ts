/**
 * The bytes of a transfer: a pattern that its seed says, so that both ends know what is right, and no byte that is at another place
 * is taken for right.
 */
import { createHash } from 'node:crypto';

/** A request is this, as a line of JSON. */
export interface Request {
  /** Who sends the bytes: the server or the client. */
  mode: 'down' | 'up';
  seed: number;
  bytes: number;
  /** Bytes a second; 0: as fast as it goes. */
  rate: number;
}

export const TCP_PORT = 7000;
export const QUERY_PORT = 7053;
export const ECHO_PORT = 7007;

/** A prime, so that the pattern never comes round with a buffer. */
const PERIOD = 65_537;
const PIECE = 32_768;

/** Milliseconds of CLOCK_MONOTONIC: the same in every process. */
export function clock(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function block(seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(2 * PERIOD);
  let x = Math.imul(seed, 0x9e3779b1) | 1;
  for (let i = 0; i < PERIOD; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x;
  }
  bytes.copy(bytes, PERIOD, 0, PERIOD);
  return bytes;
}

/** The pattern, piece by piece. Pieces must not be written to. */
export function* pieces(seed: number, length: number): Generator<Buffer> {
  const repeated = block(seed);
  for (let at = 0; at < length; at += PIECE) {
    const from = at % PERIOD;
    yield repeated.subarray(from, from + Math.min(PIECE, length - at));
  }
}

/** SHA-256 of a pattern, in hexadecimal. */
export function patternHash(seed: number, length: number): string {
  const hash = createHash('sha256');
  for (const piece of pieces(seed, length)) hash.update(piece);
  return hash.digest('hex');
}

/** What `send` writes to. */
interface Sink {
  write(bytes: Buffer): boolean;
  once(event: 'drain' | 'close', listener: () => void): unknown;
  off(event: 'drain' | 'close', listener: () => void): unknown;
  readonly destroyed: boolean;
}

/** Writes a pattern at its rate; false when the connection ended meanwhile. */
export async function send(to: Sink, { seed, bytes, rate }: Request): Promise<boolean> {
  const begun = performance.now();
  let sent = 0;
  for (const piece of pieces(seed, bytes)) {
    if (rate > 0) {
      const early = (sent / rate) * 1000 - (performance.now() - begun);
      if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
    }
    if (to.destroyed) return false;
    if (!to.write(piece)) await drained(to);
    sent += piece.length;
  }
  return !to.destroyed;
}

function drained(to: Sink): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      to.off('drain', go);
      to.off('close', go);
      resolve();
    };
    to.once('drain', go);
    to.once('close', go);
  });
}
