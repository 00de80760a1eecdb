/**
 * `natgate install`: makes a gateway a service of systemd.
 *
 *     look (nothing is changed) ──▶ record ──▶ files, account ──▶ enable, start
 *
 * Files that are there and not natgate's own stop it before anything is written; a second install changes nothing. Units
 * that a package brought are used as they are. Below another root (an image that systemd will boot) nothing is started.
 */
import { existsSync, mkdirSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { firstConfig } from './first-config.ts';
import {
  ACCOUNT_FILE,
  configOf,
  packagedUnit,
  serviceOf,
  UNIT_FOLDER,
  UNITS,
  unitOf,
  WANTS_FOLDER,
} from './layout.ts';
import {
  emptyRecord,
  type InstallRecord,
  readInstallRecord,
  readText,
  sha256,
  writeInstallRecord,
} from './record.ts';
import type { System } from './system.ts';
import { ACCOUNT, unitText } from './unit.ts';

export interface InstallOptions {
  name: string;
  /** Interfaces for the configuration; null: there is one, or it is an error. */
  interfaces: { private: readonly string[]; public: string } | null;
  /** Where `/` of the service will be. */
  root: string;
  /** Only says what would be done. */
  dryRun: boolean;
  /** Words that start natgate. */
  command: readonly string[];
  say(line: string): void;
}

interface NewFile {
  path: string;
  text: string;
}

/**
 * Throws NatgateError `no_systemd`, `no_config`, `foreign_file`, `not_for_a_service` (nothing is changed then), `command_failed`
 * or `not_permitted`.
 */
export function installService(options: InstallOptions, system: System): void {
  const { name, root, dryRun, say } = options;
  const isHere = root === '/';
  if (isHere && !dryRun && !system.isBooted()) {
    throw new NatgateError(
      'no_systemd',
      'systemd does not run here, so there is nothing that would start a service',
      `in a container make it the command: natgate run --config ${configOf(name)}; for an image that systemd will boot: --root DIR`,
    );
  }
  const record = readInstallRecord(root) ?? emptyRecord();
  const config = configToWrite(options);
  const units = unitsToWrite(options, record);
  const link = isHere ? null : linkToMake(name, root);
  if (dryRun) {
    for (const { path, text } of [...units, ...(config === null ? [] : [config])]) {
      say(`would write ${join(root, path)}:\n${text.replace(/^(?=.)/gm, '    ')}`);
    }
    say(`would enable ${serviceOf(name)}${isHere ? ' and start it' : ''}`);
    return;
  }

  for (const { path, text } of units) record.files[path] = sha256(text);
  if (config !== null) record.configs.push(config.path);
  if (!record.gateways.includes(name)) record.gateways.push(name);
  if (link !== null && !record.links.includes(link.path)) record.links.push(link.path);
  const makesAccount = units.some(({ path }) => path === ACCOUNT_FILE) && !hasAccount(root);
  record.account ||= makesAccount;
  permitted(root, () => {
    writeInstallRecord(root, record);
    for (const file of units) writeFile(root, file, say);
    if (config !== null) writeFile(root, config, say);
    else say(`kept ${join(root, configOf(name))}`);
    if (link !== null) makeLink(root, link);
  });
  if (makesAccount) {
    const where = isHere ? [] : [`--root=${root}`];
    // Where there is no such program, systemd makes the account when it boots the root.
    if (system.run('systemd-sysusers', [...where, join(root, ACCOUNT_FILE)])) say('made the account natgate');
  }
  if (isHere) {
    system.run('systemctl', ['daemon-reload']);
    system.run('systemctl', ['enable', '--now', serviceOf(name)]);
  }
  say(
    isHere
      ? `enabled and started ${serviceOf(name)}`
      : `enabled ${serviceOf(name)}: it starts when ${root} is booted`,
  );
}

/** Null: the user has one already. */
function configToWrite({ name, interfaces, root }: InstallOptions): NewFile | null {
  const path = configOf(name);
  if (existsSync(join(root, path))) return null;
  if (interfaces === null) {
    throw new NatgateError(
      'no_config',
      `there is no ${join(root, path)}, and the interfaces are not known`,
      'give --private and --public, or write that file first',
    );
  }
  return { path, text: firstConfig(interfaces.private, interfaces.public) };
}

function unitsToWrite({ name, root, command }: InstallOptions, record: InstallRecord): NewFile[] {
  if (packagedUnit(root, unitOf(name)) !== null) return [];
  const files: NewFile[] = UNITS.map((unit) => ({
    path: `${UNIT_FOLDER}/${unit}`,
    text: unitText(unit, command),
  }));
  files.push({ path: ACCOUNT_FILE, text: ACCOUNT });
  return files.filter(({ path, text }) => {
    const present = readText(root, path);
    // One that says the same is natgate's, too: of an installation whose record was lost.
    if (present === null || present === text || record.files[path] === sha256(present)) return true;
    throw new NatgateError(
      'foreign_file',
      `${join(root, path)} is there, and not as \`natgate install\` writes it`,
      'move it away; put changes of your own into a drop-in: systemctl edit natgate',
    );
  });
}

interface NewLink {
  path: string;
  target: string;
}

function linkToMake(name: string, root: string): NewLink | null {
  const target = packagedUnit(root, unitOf(name))?.slice(root.length) ?? `${UNIT_FOLDER}/${unitOf(name)}`;
  const link = { path: `${WANTS_FOLDER}/${serviceOf(name)}`, target: target.replace(/^\/*/, '/') };
  return linkTarget(join(root, link.path)) === link.target ? null : link;
}

function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return null;
    throw error;
  }
}

function makeLink(root: string, { path, target }: NewLink): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  symlinkSync(target, join(root, path));
}

function writeFile(root: string, { path, text }: NewFile, say: (line: string) => void): void {
  if (readText(root, path) === text) return;
  const target = join(root, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(`${target}.new`, text, { mode: 0o644 });
  renameSync(`${target}.new`, target);
  say(`wrote ${target}`);
}

/** Of `root`, in its /etc/passwd. */
export function hasAccount(root: string): boolean {
  return /^natgate:/m.test(readText(root, '/etc/passwd') ?? '');
}

export function permitted<T>(root: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!isSystemError(cause, 'EACCES') && !isSystemError(cause, 'EPERM') && !isSystemError(cause, 'EROFS'))
      throw cause;
    throw new NatgateError(
      'not_permitted',
      `${root} cannot be changed: ${cause.message}`,
      'run this as root (sudo)',
      {
        cause,
      },
    );
  }
}
