/**
 * What `natgate install` did below a root, so that `uninstall` takes back exactly that: /var/lib/natgate/installed.json.
 * It is written before what it says is done, hence may name what never came about.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { RECORD_FILE } from './layout.ts';

export interface InstallRecord {
  version: 1;
  /** Files by path (below the root), with the SHA-256 of the text that was written. */
  files: Record<string, string>;
  /** Configurations that were written: they belong to the user from then on. */
  configs: string[];
  /** Symbolic links that enable units where no systemd ran to do it. */
  links: string[];
  /** Names of the gateways. */
  gateways: string[];
  /** The account was made. */
  account: boolean;
}

export function emptyRecord(): InstallRecord {
  return { version: 1, files: {}, configs: [], links: [], gateways: [], account: false };
}

/** Null: nothing was installed. Throws NatgateError `record_broken`. */
export function readInstallRecord(root: string): InstallRecord | null {
  const path = join(root, RECORD_FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return null;
    throw error;
  }
  try {
    const record = JSON.parse(text) as InstallRecord;
    if (record.version === 1) return record;
  } catch {
    // Said below.
  }
  throw new NatgateError(
    'record_broken',
    `${path} is not the record of an installation by this version`,
    'take the files away by hand: /etc/systemd/system/natgate*.service, and that record',
  );
}

export function writeInstallRecord(root: string, record: InstallRecord): void {
  const path = join(root, RECORD_FILE);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(`${path}.new`, path);
}

export function removeInstallRecord(root: string): void {
  rmSync(join(root, RECORD_FILE), { force: true });
  removeIfEmpty(root, dirname(RECORD_FILE));
}

/** Folders that others use stay. */
export function removeIfEmpty(root: string, folder: string): void {
  try {
    rmdirSync(join(root, folder));
  } catch {
    // Not empty, or not there.
  }
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Null: there is no such file. */
export function readText(root: string, path: string): string | null {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return null;
    throw error;
  }
}
