/**
 * The account that the engine process runs as. Names are looked up in /etc/passwd only: an account for a daemon
 * is a local one, and nothing else may be opened or asked at this point. `UID:GID` works for the others.
 */
import { readFileSync } from 'node:fs';
import { NatgateError } from '../core/errors.ts';

export interface Credentials {
  uid: number;
  gid: number;
}

/** Account of the package, made by whoever installs natgate as a service. */
const OWN_USER = 'natgate';
/** The overflow ids (`nobody`), the same on every Linux. */
const NOBODY: Credentials = { uid: 65_534, gid: 65_534 };

/**
 * @param user an account name or `UID:GID`; undefined: `natgate` where it exists, else nobody (65534).
 * Throws NatgateError `user_unknown` for an unknown account, `user_root` for uid or gid 0.
 */
export function engineCredentials(user: string | undefined, passwdPath = '/etc/passwd'): Credentials {
  if (user === undefined) return lookUp(OWN_USER, passwdPath) ?? NOBODY;
  const numeric = /^(\d{1,10}):(\d{1,10})$/.exec(user);
  const credentials =
    numeric === null ? lookUp(user, passwdPath) : { uid: Number(numeric[1]), gid: Number(numeric[2]) };
  if (credentials === null) {
    throw new NatgateError(
      'user_unknown',
      `--user ${user}: no such account in ${passwdPath}`,
      `make it with \`useradd --system --no-create-home ${user}\`, or give UID:GID`,
    );
  }
  if (credentials.uid === 0 || credentials.gid === 0) {
    throw new NatgateError(
      'user_root',
      `--user ${user}: the packet engine does not run as root`,
      'give an account without privileges, or leave the option out',
    );
  }
  return credentials;
}

function lookUp(name: string, passwdPath: string): Credentials | null {
  for (const line of readFileSync(passwdPath, 'utf8').split('\n')) {
    const [account, , uid, gid] = line.split(':');
    if (account === name) return { uid: Number(uid), gid: Number(gid) };
  }
  return null;
}
