/**
 * Names of private hosts, for people: those of /etc/hosts, else what hosts call themselves to dnsmasq when they ask for an address.
 * No query is sent to anybody: a listing must not make traffic, nor wait for it.
 */
import { readFileSync, statSync } from 'node:fs';
import { parseAddress } from '../wire/address.ts';

export interface NameFiles {
  hosts: string;
  /** Of dnsmasq: a line is expiry, MAC, address, name (`*`: none), client id. */
  leases: string;
}

export const NAME_FILES: NameFiles = { hosts: '/etc/hosts', leases: '/var/lib/misc/dnsmasq.leases' };

/** How long it may be that a change of the files goes unnoticed. */
const LOOK_MS = 2000;

export class ClientNames {
  private readonly files: NameFiles;
  private names = new Map<number, string>();
  private stamp = '';
  private looked = Number.NEGATIVE_INFINITY;

  constructor(files: NameFiles = NAME_FILES) {
    this.files = files;
  }

  /** Empty for an address (wire order) without a name. */
  nameOf(address: number): string {
    this.look();
    return this.names.get(address) ?? '';
  }

  private look(): void {
    const now = performance.now();
    if (now - this.looked < LOOK_MS) return;
    this.looked = now;
    const stamp = `${stampOf(this.files.hosts)} ${stampOf(this.files.leases)}`;
    if (stamp === this.stamp) return;
    this.stamp = stamp;
    this.names = new Map([...leaseNames(textOf(this.files.leases)), ...hostNames(textOf(this.files.hosts))]);
  }
}

/** The first name of each address that is not loopback. */
export function hostNames(text: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [first = '', name = ''] = line.replace(/#.*/, '').trim().split(/\s+/);
    const address = parseAddress(first);
    if (address === null || (address & 0xff) === 127 || name === '' || names.has(address)) continue;
    names.set(address, name);
  }
  return names;
}

export function leaseNames(text: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [, , third = '', name = '*'] = line.split(' ');
    const address = parseAddress(third);
    if (address !== null && name !== '*') names.set(address, name);
  }
  return names;
}

function stampOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? '' : `${found.ino} ${found.mtimeMs} ${found.size}`;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
