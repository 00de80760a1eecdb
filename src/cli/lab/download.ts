/**
 * Runs in the private namespace: downloads `SIZE` bytes from HOST:PORT and prints a line of JSON a few times a
 * second (DownloadProgress), the last with `done`. With `hash` it takes the SHA-256; without, it only counts, for
 * hashing is slower than the network here.
 */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import type { DownloadProgress } from './progress.ts';

const REPORT_EVERY_S = 0.1;
const [host, port, size] = [process.argv[2]!, Number(process.argv[3]), Number(process.argv[4])];
const hash = process.argv[5] === 'hash' ? createHash('sha256') : null;

const start = process.hrtime.bigint();
const elapsed = () => Number(process.hrtime.bigint() - start) / 1e9;
let header = '';
let bodyStarted = false;
let bytes = 0;
let reported = 0;

// One buffer for all reads: http.get would allocate one for each 64 KiB, and be what is measured.
const buffer = Buffer.allocUnsafe(1 << 20);
const socket = connect({
  host,
  port,
  onread: { buffer, callback: (count) => take(buffer.subarray(0, count)) },
});
socket.on('connect', () =>
  socket.write(`GET /${size} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
);
socket.on('error', (error) => fail(error.message));
socket.on('close', () => {
  if (bytes !== size) fail(`${bytes} of ${size} bytes came`);
});

function take(piece: Buffer): boolean {
  let body = piece;
  if (!bodyStarted) {
    const text = header + piece.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) {
      header = text;
      return true;
    }
    if (!text.startsWith('HTTP/1.1 200 ')) fail(text.slice(0, text.indexOf('\r\n')));
    bodyStarted = true;
    body = piece.subarray(end + 4 - header.length);
  }
  hash?.update(body);
  bytes += body.length;
  const seconds = elapsed();
  if (bytes === size) print({ bytes, seconds, done: true, ...(hash && { sha256: hash.digest('hex') }) });
  else if (seconds - reported >= REPORT_EVERY_S) {
    reported = seconds;
    print({ bytes, seconds });
  }
  return true;
}

function print(progress: DownloadProgress): void {
  process.stdout.write(`${JSON.stringify(progress)}\n`);
}

function fail(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}
