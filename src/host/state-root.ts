/**
 * The folder in which all gateways of a host keep what they did: `<root>/<name>/` for each, and files that they share.
 * Whoever reads and then changes something there holds the lock.
 */
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError, NatgateError } from '../core/errors.ts';
import { notWritable, writableHint } from './not-writable.ts';
import { isAlive, type ProcessIdentity, thisProcess } from './process-identity.ts';

const DEFAULT_STATE_ROOT = '/run/natgate';
const LOCK_WAIT_MS = 10_000;
const LOCK_RETRY_MS = 10;

/** The option, else the environment's NATGATE_STATE_ROOT, else /run/natgate. */
export function stateRoot(option?: string): string {
  return option ?? process.env['NATGATE_STATE_ROOT'] ?? DEFAULT_STATE_ROOT;
}

/** Roots whose lock this process holds: what needs the lock may call what needs it too. */
const held = new Set<string>();

/**
 * Runs `work` while no other process does so for the same root. The lock is a file, made by link(2), which is atomic;
 * one whose process has died is taken over. `work` must not wait for anything: others are blocked meanwhile.
 * Throws NatgateError `state_locked` after 10 s, `not_permitted` when the root may not be written, `state_not_writable` when its disk is full.
 */
export function withStateLock<T>(root: string, work: () => T): T {
  if (held.has(root)) return work();
  acquire(root);
  held.add(root);
  try {
    return work();
  } finally {
    held.delete(root);
    rmSync(join(root, '.lock'), { force: true });
  }
}

function acquire(root: string): void {
  const lock = join(root, '.lock');
  const mine = join(root, `.lock-${randomUUID()}`);
  try {
    mkdirSync(root, { recursive: true, mode: 0o755 });
    writeFileSync(mine, JSON.stringify(thisProcess()));
  } catch (cause) {
    if (isSystemError(cause, 'ENOSPC') || isSystemError(cause, 'EDQUOT') || isSystemError(cause, 'EROFS')) {
      rmSync(mine, { force: true });
      throw notWritable(root, cause);
    }
    throw new NatgateError(
      'not_permitted',
      `the state directory ${root} cannot be written`,
      writableHint(root, cause),
      { cause },
    );
  }
  try {
    const deadline = performance.now() + LOCK_WAIT_MS;
    while (!tryLink(mine, lock)) {
      if (performance.now() > deadline) {
        throw new NatgateError(
          'state_locked',
          `another natgate process has held ${lock} for ${LOCK_WAIT_MS / 1000} s`,
          `see which process it names; remove the file if that is no natgate`,
        );
      }
      if (!removeIfStale(lock)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_RETRY_MS);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

function tryLink(mine: string, lock: string): boolean {
  try {
    linkSync(mine, lock);
    return true;
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Takes away a lock whose process is dead. Returns whether it is worth trying again at once. */
function removeIfStale(lock: string): boolean {
  const holder = readHolder(lock);
  if (holder === null) return true;
  if (isAlive(holder)) return false;
  // Between reading and moving, another process may have done the same and locked: then what we moved is live.
  const aside = `${lock}-${randomUUID()}`;
  try {
    renameSync(lock, aside);
  } catch {
    return true;
  }
  const moved = readHolder(aside);
  if (moved !== null && isAlive(moved)) tryLink(aside, lock);
  rmSync(aside, { force: true });
  return true;
}

function readHolder(lock: string): ProcessIdentity | null {
  try {
    return JSON.parse(readFileSync(lock, 'utf8')) as ProcessIdentity;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return null;
    // Not written by natgate: nobody's.
    return { pid: 0, processStart: '', boot: '' };
  }
}
