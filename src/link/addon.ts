/**
 * The addon as TypeScript sees it. It moves bytes between the kernel and memory; it decides nothing.
 *
 * Every failed system call is thrown as a SystemError (core/errors.ts): `code` (errno name), `syscall`, and a
 * message that says what was being done. File descriptors are plain numbers, close-on-exec, and belong to the
 * caller (`fs.closeSync`).
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { NatgateError } from '../core/errors.ts';

/**
 * A batch exchange over several TUN queues and the arena its packets live in.
 * Layout of the arena: engine/arena.ts (TypeScript) and native/src/exchange.h (C); `describe()` lets a test
 * compare the two.
 */
export interface Exchange {
  /** Plain external ArrayBuffer, mapped once and zero at first. */
  readonly arena: ArrayBuffer;
  /**
   * Writes the first `outCount` entries of the out list, in order within each flow: those that follow each other in one may leave
   * as a super-packet (native/src/coalesce.c). Then reads up to 64 packets, alternating
   * over the queues; with none there, waits up to `timeoutMs` (0: does not wait, -1: for ever) for a packet or
   * a wake-up, and reads again.
   * Returns the number of packets read (0 after a time-out or a wake-up), or a negative errno when a queue is
   * broken for good (e.g. -EBADFD when the device was deleted). Never throws. Before it returns it writes
   * CLOCK_MONOTONIC in milliseconds (int32, wrapping) to the control word NOW.
   */
  run(outCount: number, timeoutMs: number): number;
  /** Only the writing half of `run`, for an engine that ran out of slots in the middle of a batch. */
  flush(outCount: number): void;
  /** Sizes and offsets as compiled into the addon. */
  describe(): Record<string, number>;
  close(): void;
}

export interface Watch {
  close(): void;
}

export interface Addon {
  /**
   * Opens one queue of a TUN device, which is created if it does not exist:
   * IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE, vnet header of 10 bytes, offloads
   * CSUM | TSO4 | TSO6 | TSO_ECN | USO4 | USO6 (without USO where the kernel lacks it). Non-blocking.
   */
  tunOpen(name: string): { fd: number; uso: boolean };
  /** TUNSETPERSIST: whether the device outlives its descriptors. */
  tunSetPersist(fd: number, on: boolean): void;
  /**
   * TUNSETSTEERINGEBPF: the device of this queue chooses a packet's queue by a BPF_PROG_TYPE_SOCKET_FILTER program, whose
   * result it takes modulo the number of queues. It keeps the program; the descriptor may be closed.
   */
  tunSetSteering(fd: number, programFd: number): void;
  /** TUNGETIFF: the device that a descriptor is a queue of; null: of none that is still there. */
  tunName(fd: number): string | null;
  /** `fds[i]` is device i of the arena's lists; `wakeFd` an eventfd. At most 16 queues. */
  exchangeOpen(fds: readonly number[], wakeFd: number): Exchange;

  /**
   * Of the exchange with this `wakeFd`, which another thread of the process may have opened and may be stuck with: a copy of `bytes`
   * of its arena from `offset` on. Null when there is none.
   */
  arenaCopy(wakeFd: number, offset: number, bytes: number): Uint8Array | null;
  /** ms of processor time, with fractions, that the thread which opened the exchange has used (its CPU clock); -1: none is there. */
  arenaCpu(wakeFd: number): number;

  eventfd(): number;
  /** Adds one to an eventfd: interrupts the wait of `Exchange.run`. */
  eventfdWake(fd: number): void;

  /**
   * bpf(BPF_MAP_CREATE). `type`, `flags` as in linux/bpf.h; `name` 1 to 15 bytes. The other map functions refuse
   * (TypeError) keys and values that have not the map's sizes, and per-CPU maps.
   */
  bpfMapCreate(
    type: number,
    keySize: number,
    valueSize: number,
    entries: number,
    flags: number,
    name: string,
  ): number;
  bpfMapUpdate(fd: number, key: Uint8Array, value: Uint8Array): void;
  /** Returns false when there was no such key. */
  bpfMapDelete(fd: number, key: Uint8Array): boolean;
  /** Returns null when there is no such key. */
  bpfMapLookup(fd: number, key: Uint8Array, valueSize: number): Uint8Array | null;
  /** Returns the key after `key` (the first for null), null at the end. */
  bpfMapNextKey(fd: number, key: Uint8Array | null, keySize: number): Uint8Array | null;
  /** bpf(BPF_PROG_LOAD), licence GPL. The verifier's log is the error's `log`. `insns`: 8 bytes each. */
  bpfProgLoad(type: number, insns: Uint8Array, name: string): number;
  /**
   * bpf(BPF_PROG_TEST_RUN): runs a program on a frame (14 bytes or more). `returnValue` is an int32; ENOSPC when the
   * frame is larger than `outputSize` afterwards (0: not wanted).
   */
  bpfProgRun(fd: number, input: Uint8Array, outputSize: number): { returnValue: number; output: Uint8Array };

  /**
   * mmap(MAP_SHARED) of a descriptor (a file or a BPF_F_MMAPABLE map) as an external ArrayBuffer, unmapped when it is
   * collected. A file shorter than `bytes` is refused: touching the rest would be SIGBUS.
   */
  mmap(fd: number, bytes: number, writable: boolean): ArrayBuffer;
  /** fallocate: the pages are there afterwards, so that a full file system cannot end in SIGBUS. */
  fallocate(fd: number, bytes: number): void;

  /** socket(AF_NETLINK, SOCK_RAW, protocol), bound and joined to multicast `groups` (numbers). Non-blocking. */
  netlinkOpen(protocol: number, groups: readonly number[]): number;
  /**
   * Sends one message (header included; sequence number and NLM_F_REQUEST are the caller's) and receives until
   * NLMSG_DONE, an NLMSG_ERROR or, for a single answer without NLM_F_ACK, that answer. Returns the answers without
   * DONE and ACK messages, concatenated.
   * A request that has no answer (a change) needs NLM_F_ACK; after 5 s without one ETIMEDOUT is thrown.
   * A dump that the kernel calls interrupted is repeated, at most 8 times, then EAGAIN is thrown.
   * An NLMSG_ERROR with an errno is thrown (with the kernel's extended acknowledgement text where given).
   * For request sockets only, not for one that is watched.
   */
  netlinkRequest(fd: number, message: Uint8Array): Uint8Array;
  /**
   * Receives what is there, at most one datagram; null when nothing is. ENOBUFS (events lost) is thrown; the
   * kernel goes on losing events until the socket is empty, so receive until null before asking anew.
   */
  netlinkReceive(fd: number): Uint8Array | null;
  /**
   * Calls back on the event loop whenever `fd` is readable or has an error to receive. Keeps the loop alive until
   * closed; close it before the descriptor.
   */
  watchReadable(fd: number, callback: () => void): Watch;

  /** ETHTOOL_GFLAGS / ETHTOOL_SFLAGS of an interface (ETH_FLAG_LRO is 1 << 15). */
  ethtoolGetFlags(interfaceName: string): number;
  ethtoolSetFlags(interfaceName: string, flags: number): void;

  /** Sends one frame, link-layer header included, through an interface (AF_PACKET; needs CAP_NET_RAW). */
  sendFrame(interfaceIndex: number, frame: Uint8Array): void;
  /** prctl(PR_SET_NO_NEW_PRIVS). Of the calling thread; children inherit it. */
  noNewPrivileges(): void;
  /** prctl(PR_SET_PDEATHSIG): the signal this process gets when its parent dies. */
  parentDeathSignal(signal: number): void;
  /**
   * sched_setattr: how long the calling thread, and what it starts later, wants to run at a time; policy and priority stay.
   * The kernel takes 0.1 to 100 ms (Linux 6.12; older ones ignore it). Needs no privilege: the share stays what the
   * priority says, only the turns are shorter and come sooner.
   */
  timeSlice(ns: number): void;

  /**
   * Takes from the sets of every thread of this process all capabilities but these (bits by number, linux/capability.h); of those that
   * are permitted, `effective` says which are in use. Inheritable and ambient ones go. Cannot be undone. EPERM where the bounding
   * set would have to change and CAP_SETPCAP is missing: the rest is done.
   */
  limitCapabilities(effective: number, permitted: number, bounding: number): void;
  /** setrlimit, soft and hard. `resource` as in asm-generic/resource.h. */
  resourceLimit(resource: number, most: number): void;
  /** prctl(PR_SET_DUMPABLE, 0): no ptrace by the same user, no core, /proc/PID is root's. */
  undumpable(): void;
  /** close_range(CLOSE_RANGE_CLOEXEC): descriptors from `first` on do not pass to children, but for those given to spawn. */
  closeOnExec(first: number): void;
  /**
   * Landlock: from now on no thread of this process reaches a path, or a TCP port where the kernel knows that. Needs no_new_privs.
   * Returns the version of Landlock. ENOSYS or EOPNOTSUPP where there is none.
   */
  landlockNothing(): number;
  /** Installs the filter on all threads, and the handler that reports what it forbids. Cannot be undone. Needs no_new_privs. */
  seccompEnter(): void;
  /** The filter for a process with this pid, as struct sock_filter[]. */
  seccompFilter(pid: number): Uint8Array;
  /** What the filter allows, some of it only with certain arguments (native/src/seccomp-calls.h). */
  seccompCalls(): { name: string; number: number; why: string }[];
  /** prctl(PR_SET_NAME): what /proc/PID/task/TID/comm says of the calling thread, at most 15 bytes. */
  threadName(name: string): void;
  /** A SOCK_SEQPACKET listener at a path that is free, which its owner alone may connect to (0600); it does not block. */
  unixListen(path: string): number;
  /** Who connects, by SO_PEERCRED; null when nobody does. */
  unixAccept(fd: number): { fd: number; pid: number; uid: number } | null;
  unixConnect(path: string): number;
  /** One message with up to 253 descriptors, which stay open here (SCM_RIGHTS). Does not block: EAGAIN where the other side does not read. */
  unixSendFds(fd: number, data: Uint8Array, fds: readonly number[]): void;
  /** The next message; null when there is none. Of a closed connection an empty one. Its descriptors are the caller's to close. */
  unixReceiveFds(fd: number): { data: Uint8Array; fds: number[] } | null;
  /** One datagram, with descriptors, to an AF_UNIX SOCK_DGRAM address; a leading '@' means the abstract namespace (sd_notify). */
  unixNotify(path: string, data: Uint8Array, fds: readonly number[]): void;
}

let loaded: Addon | undefined;

/** Loads the addon at first use. Throws NatgateError `addon_missing` when it is not built. */
export function addon(): Addon {
  if (loaded === undefined) {
    const require = createRequire(import.meta.url);
    // By the package's own name, since the worker is one bundled file in another folder than this one.
    const root = join(dirname(require.resolve('natgate/package.json')), 'native');
    try {
      loaded = require('node-gyp-build')(root) as Addon;
    } catch (cause) {
      throw new NatgateError(
        'addon_missing',
        `the native addon is not built for this machine (looked in ${root})`,
        'run `npm ci` (or `npm rebuild`) in the folder of natgate; it needs gcc and make',
        { cause },
      );
    }
  }
  return loaded;
}
