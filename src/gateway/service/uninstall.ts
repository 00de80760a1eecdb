/**
 * `natgate uninstall`: takes back what `natgate install` did, as its record says: stops and disables the gateways, undoes what
 * they left on the host (one that lingers, say), removes units and account. A file that was changed since stays, and that is
 * said; configurations stay without `purge`.
 */
import { existsSync, lstatSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { NatgateError } from '../../core/errors.ts';
import { undoAll } from '../teardown.ts';
import { hasAccount, permitted } from './install.ts';
import { ACCOUNT_FILE, configOf, serviceOf, WANTS_FOLDER } from './layout.ts';
import {
  type InstallRecord,
  readInstallRecord,
  readText,
  removeIfEmpty,
  removeInstallRecord,
  sha256,
  writeInstallRecord,
} from './record.ts';
import type { System } from './system.ts';

export interface UninstallOptions {
  /** Only this gateway; null: all, and the files they share. */
  name: string | null;
  root: string;
  dryRun: boolean;
  /** Removes the configurations, too. */
  purge: boolean;
  /** Folder of the run directories. */
  stateRoot: string;
  say(line: string): void;
}

/** Throws NatgateError `not_installed`, `command_failed`, `undo_failed` or `not_permitted`; a second try goes on from there. */
export function uninstallService(options: UninstallOptions, system: System): void {
  const { name, root, dryRun, purge, say } = options;
  const record = readInstallRecord(root);
  if (record === null || (name !== null && !record.gateways.includes(name))) {
    throw new NatgateError(
      'not_installed',
      name === null ? 'natgate install has done nothing here' : `no gateway ${name} was installed here`,
      record === null
        ? 'what a package installed, its package manager removes'
        : `there is: ${record.gateways.join(', ')}`,
    );
  }
  const leaving = name === null ? [...record.gateways] : [name];
  const isLast = leaving.length === record.gateways.length;
  const configs = purge ? leaving.map(configOf).filter((path) => existsSync(join(root, path))) : [];
  const { ours, changed } = isLast ? sortFiles(root, record) : { ours: [], changed: [] };
  if (dryRun) {
    for (const gateway of leaving) say(`would stop and disable ${serviceOf(gateway)}`);
    for (const path of [...ours, ...configs]) say(`would remove ${join(root, path)}`);
    return;
  }

  const manages = root === '/' && system.isBooted();
  for (const gateway of leaving) {
    if (manages) system.run('systemctl', ['disable', '--now', serviceOf(gateway)]);
    if (root === '/') undoAll({ stateRoot: options.stateRoot, name: gateway });
    say(`stopped and disabled ${serviceOf(gateway)}`);
  }
  permitted(root, () => {
    for (const gateway of leaving) removeLink(root, record, `${WANTS_FOLDER}/${serviceOf(gateway)}`);
    for (const path of [...ours, ...configs]) {
      rmSync(join(root, path), { force: true });
      say(`removed ${join(root, path)}`);
    }
    for (const path of changed) say(`kept ${join(root, path)}: it was changed since`);
    if (!isLast) {
      record.gateways = record.gateways.filter((gateway) => !leaving.includes(gateway));
      record.configs = record.configs.filter((path) => !configs.includes(path));
      writeInstallRecord(root, record);
    }
  });
  if (!isLast) return;
  if (manages) system.run('systemctl', ['daemon-reload']);
  if (record.account && hasAccount(root)) {
    const where = root === '/' ? [] : ['--prefix', root];
    if (system.run('userdel', [...where, 'natgate'])) say('removed the account natgate');
  }
  for (const folder of [WANTS_FOLDER, dirname(ACCOUNT_FILE), '/etc/natgate']) removeIfEmpty(root, folder);
  removeInstallRecord(root);
  for (const gateway of record.gateways) {
    if (existsSync(join(root, configOf(gateway))))
      say(`kept ${join(root, configOf(gateway))} (--purge removes it)`);
  }
}

function sortFiles(root: string, record: InstallRecord): { ours: string[]; changed: string[] } {
  const ours: string[] = [];
  const changed: string[] = [];
  for (const [path, hash] of Object.entries(record.files)) {
    const present = readText(root, path);
    if (present !== null) (sha256(present) === hash ? ours : changed).push(path);
  }
  return { ours, changed };
}

function removeLink(root: string, record: InstallRecord, path: string): void {
  if (!record.links.includes(path)) return;
  record.links = record.links.filter((other) => other !== path);
  const there = lstatSync(join(root, path), { throwIfNoEntry: false });
  if (there?.isSymbolicLink()) rmSync(join(root, path));
}
