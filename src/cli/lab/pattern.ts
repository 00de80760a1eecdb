/**
 * What the lab's server sends: one block over and over, so that making it costs nothing while it is sent. Its length
 * is no multiple of any buffer, packet or page: a piece that is lost, repeated or moved shifts all that follows,
 * and the hash differs.
 */
import { createCipheriv, createHash } from 'node:crypto';

const BLOCK_BYTES = 1_048_583;

export function patternBlock(): Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 'natgate'), Buffer.alloc(16));
  return cipher.update(Buffer.alloc(BLOCK_BYTES));
}

/** SHA-256 of the first `size` bytes, and how many seconds it took to compute. */
export function patternSha256(size: number): { sha256: string; seconds: number } {
  const block = patternBlock();
  const start = process.hrtime.bigint();
  const hash = createHash('sha256');
  for (let left = size; left > 0; left -= block.length) hash.update(block.subarray(0, left));
  const sha256 = hash.digest('hex');
  return { sha256, seconds: Number(process.hrtime.bigint() - start) / 1e9 };
}
