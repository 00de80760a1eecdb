/**
 * What the supervisor may do, of all that root may: a list with the reason of each capability. The rest goes before the first
 * change of the host, from all its threads, and does not come back; so what is missing shows at the start and not hours later.
 *
 * Some are for its child only, the packet engine until it enters its sandbox: permitted, since under no_new_privs exec gives
 * nobody more than that, but not effective.
 */
import { addon } from '../link/addon.ts';

/** One of the kernel’s, and what it is needed for. */
export interface Capability {
  name: string;
  /** linux/capability.h */
  number: number;
  why: string;
}

/** Effective. */
export const SUPERVISOR_CAPABILITIES: readonly Capability[] = [
  { name: 'CAP_CHOWN', number: 0, why: 'the group of the control socket' },
  {
    name: 'CAP_DAC_READ_SEARCH',
    number: 2,
    why: 'a configuration, and a program, that lie in the home of somebody else',
  },
  { name: 'CAP_KILL', number: 5, why: 'the end of the packet engine, which is another account' },
  { name: 'CAP_NET_BIND_SERVICE', number: 10, why: 'metrics on a port below 1024' },
  { name: 'CAP_NET_ADMIN', number: 12, why: 'devices, filters, routes, addresses and kernel settings' },
  { name: 'CAP_NET_RAW', number: 13, why: 'ARP announcements' },
  { name: 'CAP_PERFMON', number: 38, why: 'arithmetic with pointers in steering programs' },
  { name: 'CAP_BPF', number: 39, why: 'steering programs and their maps' },
];

/** Permitted besides. */
export const CHILD_CAPABILITIES: readonly Capability[] = [
  { name: 'CAP_SETGID', number: 6, why: 'the packet engine becomes another account' },
  { name: 'CAP_SETUID', number: 7, why: 'the packet engine becomes another account' },
  { name: 'CAP_SETPCAP', number: 8, why: 'the packet engine empties its bounding set' },
  { name: 'CAP_SYS_NICE', number: 23, why: 'the priority of the packet engine' },
];

/** As limitCapabilities of the addon takes them. */
export function capabilitySet(capabilities: readonly Capability[]): number {
  return capabilities.reduce((set, { number }) => set + 2 ** number, 0);
}

/** `warn`: where the kernel refuses. */
export function limitSupervisor(warn: (line: string) => void): void {
  try {
    // Those that whoever started it forgot to close are not for the packet engine.
    addon().closeOnExec(3);
  } catch {
    // Linux before 5.11. Node keeps the first ones from children itself.
  }
  const own = capabilitySet(SUPERVISOR_CAPABILITIES);
  try {
    const all = own + capabilitySet(CHILD_CAPABILITIES);
    addon().limitCapabilities(own, all, all);
  } catch (error) {
    warn(
      `the supervisor keeps capabilities that it does not need: its sandbox is wider: ${(error as Error).message}`,
    );
  }
}
