/**
 * Where the service of a gateway has its files. The gateway `default` is `natgate.service` and /etc/natgate/natgate.yaml;
 * any other NAME is `natgate@NAME.service` and /etc/natgate/NAME.yaml.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NatgateError } from '../../core/errors.ts';
import { DEFAULT_NAME, parseName } from '../options.ts';

export const UNIT_FOLDER = '/etc/systemd/system';
export const WANTS_FOLDER = `${UNIT_FOLDER}/multi-user.target.wants`;
export const ACCOUNT_FILE = '/etc/sysusers.d/natgate.conf';
export const RECORD_FILE = '/var/lib/natgate/installed.json';
/** Units that a package brings; /etc would hide them. */
const PACKAGE_FOLDERS = ['/usr/lib/systemd/system', '/lib/systemd/system'];

export const UNITS = ['natgate.service', 'natgate@.service'] as const;
export type Unit = (typeof UNITS)[number];

/** The unit to enable and start. */
export function serviceOf(name: string): string {
  return name === DEFAULT_NAME ? 'natgate.service' : `natgate@${name}.service`;
}

/** The unit's file. */
export function unitOf(name: string): Unit {
  return name === DEFAULT_NAME ? 'natgate.service' : 'natgate@.service';
}

export function configOf(name: string): string {
  return `/etc/natgate/${name === DEFAULT_NAME ? 'natgate' : name}.yaml`;
}

/** Throws NatgateError `usage` for what is no name, or whose file would be the default gateway's. */
export function parseServiceName(text: string): string {
  const name = parseName(text);
  if (name === 'natgate') {
    throw new NatgateError(
      'usage',
      '--name natgate: /etc/natgate/natgate.yaml is the file of the gateway `default`',
      'leave --name out, or give another one',
    );
  }
  return name;
}

/** Path of a unit that a package has put below `root`; null: there is none. */
export function packagedUnit(root: string, unit: Unit): string | null {
  for (const folder of PACKAGE_FOLDERS) {
    const path = join(root, folder, unit);
    if (existsSync(path)) return path;
  }
  return null;
}
