/**
 * The sandbox of the packet engine. Once the process has loaded everything and has every descriptor it will ever have, it gives
 * up all else, for good and in all its threads:
 *
 *     bounding set, capabilities ─▶ groups, gid, uid ─▶ not dumpable, dies with its parent ─▶ Landlock ─▶ limits ─▶ seccomp
 *
 * The order matters: only root changes ids and bounding sets; a change of ids clears the death signal; the filter forbids all
 * that comes before it. Descriptors are all that is left: queues, state, taps, events, the owned map, the channel, stdio.
 *
 * A kernel or a container that lacks a part of it costs that part: a warning, and the rest stands. Only the change of ids must
 * succeed. What each part is for, and what remains possible, is in SECURITY.md.
 */
import { constants } from 'node:os';
import { addon } from '../../link/addon.ts';
import type { Credentials } from '../user.ts';

/** asm-generic/resource.h */
const RLIMIT_CORE = 4;
const RLIMIT_NPROC = 6;
const RLIMIT_NOFILE = 7;

/** Bits of CAP_SETGID and CAP_SETUID: what the change of ids needs. */
const TO_CHANGE_IDS = 2 ** 6 + 2 ** 7;

/** As many as poll() may be asked about: the queues of an exchange and its wake-up. Nothing more can be opened anyway. */
const DESCRIPTORS = 32;

/** `warn`: what is missing here. Throws where the ids cannot be changed. */
export function enterSandbox({ uid, gid }: Credentials, warn: (line: string) => void): void {
  const native = addon();
  const attempt = (what: string, lost: string, work: () => void) => {
    try {
      work();
    } catch (error) {
      warn(`the packet engine runs without ${what}: ${(error as Error).message}; ${lost}`);
    }
  };
  // What Node opens at first use it opens now: later it cannot, and these are for last words.
  const { stdout, stderr } = process;
  void [stdout, stderr];
  attempt('an empty bounding set', 'it has no capabilities all the same', () =>
    native.limitCapabilities(TO_CHANGE_IDS, TO_CHANGE_IDS, 0),
  );
  process.setgroups!([]);
  process.setgid!(gid);
  process.setuid!(uid);
  attempt('no_new_privs', 'seccomp and Landlock need it', () => native.noNewPrivileges());
  attempt('hidden memory', 'other processes of its account may read it', () => native.undumpable());
  native.parentDeathSignal(constants.signals.SIGKILL);
  attempt('Landlock', 'the seccomp filter keeps it from files', () => void native.landlockNothing());
  attempt('limits', 'it may start processes and open descriptors where the filter is missing, too', () => {
    native.resourceLimit(RLIMIT_CORE, 0);
    native.resourceLimit(RLIMIT_NPROC, 0);
    native.resourceLimit(RLIMIT_NOFILE, DESCRIPTORS);
  });
  attempt('a seccomp filter', 'it may make every system call that its account may', () =>
    native.seccompEnter(),
  );
}
