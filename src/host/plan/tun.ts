/**
 * The TUN device that stands for a served interface: persistent, so that it outlives the process, and with one queue
 * open for each worker, which is its way to its packets.
 *
 * The kernel routes nothing to it and nothing from it: it has no address, IPv4 or IPv6.
 */

import { createHash } from 'node:crypto';
import { closeSync, existsSync, writeFileSync } from 'node:fs';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { addon } from '../../link/addon.ts';
import { PROG_TYPE_SOCKET_FILTER } from '../ebpf/kernel.ts';
import { loadProgram } from '../ebpf/load.ts';
import { changeLink, deleteLink, type Link, linkNamed } from '../netlink/links.ts';
import { removeQueue } from '../netlink/tc.ts';
import { queueSteering } from '../steering/queue.ts';
import type { Step } from './step.ts';

/** Longest interface name (IFNAMSIZ without its zero byte). */
const NAME_BYTES = 15;
/** A super-packet is up to 64 KiB: the engine is the only one that enforces an MTU. */
export const TUN_MTU = 65_535;
/** 0.4 s of 10 000 packets a second, longer than it takes an engine that stands by to go on. */
export const DEFAULT_TX_QUEUE_LENGTH = 4096;
/** Of an outage with none standing by: 1.6 s of 10 000 packets a second; 128 KiB of kernel memory for each queue. */
export const OUTAGE_QUEUE_LENGTH = 16_384;
const QUEUE_WAIT_MS = 2000;
const QUEUE_RETRY_MS = 10;

/** `natgate-eth0`; for longer names `ng-enp0s31f6`; for still longer ones the beginning and a hash. */
export function tunName(interfaceName: string): string {
  for (const name of [`natgate-${interfaceName}`, `ng-${interfaceName}`]) {
    if (Buffer.byteLength(name) <= NAME_BYTES) return name;
  }
  const hash = createHash('sha256').update(interfaceName).digest('hex').slice(0, 4);
  return `ng-${interfaceName.replace(/[^!-~]/g, '_').slice(0, NAME_BYTES - 8)}-${hash}`;
}

/** Of the private side of an interface that is both sides: `natgate-eth0-in`. */
export function privateTunName(interfaceName: string): string {
  return tunName(`${interfaceName}-in`);
}

export interface TunStep extends Step {
  /** Name of the device. */
  readonly device: string;
  /** The open queues, in their order, once the step is applied; they are the caller's to close. */
  readonly fds: readonly number[];
  /** Index of the device that they belong to; 0 before the step is applied. */
  readonly index: number;
  /** Closes the queues if they are open. */
  close(): void;
}

/** How many queues a device has, and how a packet finds its own. */
export interface TunQueues {
  /** A power of two. */
  count: number;
  side: 'private' | 'public';
  /** They are open already, in their order, and belong to the step from now on. */
  fds?: readonly number[] | undefined;
}

const ONE_QUEUE: TunQueues = { count: 1, side: 'private' };

/** Makes `device`, or takes the one that an adopted journal left. */
export function tunStep(
  interfaceName: string,
  { count, side, fds }: TunQueues = ONE_QUEUE,
  device: string = tunName(interfaceName),
): TunStep {
  const queues = [...(fds ?? [])];
  let index = 0;
  const open = () => {
    if (queues.length === 0) throw new Error(`${device} is not open`);
    return queues;
  };
  return {
    name: `tun ${device}`,
    show: `ip tuntap add dev ${device} mode tun multi_queue vnet_hdr`,
    device,
    get fds() {
      return [...open()];
    },
    get index() {
      return index;
    },
    prepare() {
      if (linkNamed(device) !== undefined) {
        throw new NatgateError(
          'tun_name_taken',
          `an interface ${device} exists already, and natgate's journal does not know it`,
          `if it is left from a gateway whose state directory was removed: \`ip link delete ${device}\``,
        );
      }
      return { kind: 'tun', name: device };
    },
    apply() {
      if (queues.length === 0) {
        waitUntilUnused(device);
        // A queue is numbered as it is opened; none is closed before all are.
        for (let i = 0; i < count; i++) queues.push(addon().tunOpen(device).fd);
      }
      addon().tunSetPersist(queues[0]!, true);
      if (count > 1) steerQueues(queues[0]!, side, count);
      index = linkNamed(device)?.index ?? 0;
    },
    check() {
      const now = linkNamed(device);
      if (now === undefined) return `${device} was deleted`;
      return now.index === index ? null : `another interface is called ${device}`;
    },
    close() {
      for (const fd of queues.splice(0)) closeSync(fd);
    },
  };
}

function steerQueues(fd: number, side: 'private' | 'public', count: number): void {
  const program = loadProgram('ng_queue', queueSteering(side, count), PROG_TYPE_SOCKET_FILTER);
  try {
    addon().tunSetSteering(fd, program);
  } finally {
    closeSync(program);
  }
}

/**
 * A queue of somebody else's would get a part of the flows. The engine of a supervisor that was killed dies with it, but not in
 * the same instant.
 */
function waitUntilUnused(device: string): void {
  const deadline = performance.now() + QUEUE_WAIT_MS;
  while ((linkNamed(device)?.tunQueues ?? 0) > 0) {
    if (performance.now() > deadline) {
      throw new NatgateError(
        'tun_in_use',
        `another process has ${device} open`,
        'an engine of natgate may be left over: `fuser -v /dev/net/tun` shows it; end it',
      );
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, QUEUE_RETRY_MS);
  }
}

/**
 * Brings the device up: MTU 65535, no IPv6, and a ring of `txQueueLength` packets towards the engine.
 *
 * That ring is the only queue. A multi-queue TUN has 256 transmit queues, for each of which the kernel would add a
 * pfifo_fast of three bands of that length: 6.5 MB of kernel memory per device at 1000 packets, 99 MB at 10000, and one
 * more queue that never fills, since a TUN drops rather than make a qdisc wait. Set before the device comes up.
 */
export function tunUpStep(device: string, txQueueLength = DEFAULT_TX_QUEUE_LENGTH): Step {
  return {
    name: `link ${device}`,
    show: `tc qdisc replace dev ${device} root noqueue && ip link set dev ${device} mtu ${TUN_MTU} txqueuelen ${txQueueLength} addrgenmode none up`,
    prepare: () => null,
    apply() {
      const link = linkNamed(device);
      if (link === undefined) throw new NatgateError('interface_unknown', `${device} has gone`, 'try again');
      switchOffIpv6(link);
      // It forwards for a gateway that is taken over, or its queue holds what came since one died: a change of the qdisc would lose packets.
      if (link.up && link.mtu === TUN_MTU) {
        if (link.txQueueLength !== txQueueLength) changeLink(link.index, { txQueueLength });
        return;
      }
      // Only where there is one: while a qdisc is exchanged, the kernel drops what comes.
      if (link.qdisc !== 'noqueue') removeQueue(link.index);
      changeLink(link.index, { mtu: TUN_MTU, txQueueLength, up: true });
    },
    check() {
      const link = linkNamed(device);
      // That is said of the device itself.
      if (link === undefined) return null;
      if (!link.up) return `${device} was set down`;
      if (link.mtu !== TUN_MTU) return `${device} got an MTU of ${link.mtu}`;
      // While an engine is loaded, and none reads, it is longer.
      const lengths = [txQueueLength, Math.max(txQueueLength, OUTAGE_QUEUE_LENGTH)];
      if (!lengths.includes(link.txQueueLength))
        return `${device} got a queue of ${link.txQueueLength} packets`;
      return link.qdisc === 'noqueue' ? null : `${device} got a qdisc, ${link.qdisc}`;
    },
  };
}

/**
 * An IPv6 address on the device would make the kernel send neighbour discovery to the engine. Each of the two ways is
 * enough; without IPv6 in the kernel the first says EAFNOSUPPORT, and in a container the second is often read-only.
 */
function switchOffIpv6(link: Link): void {
  try {
    changeLink(link.index, { noIpv6Address: true });
  } catch (error) {
    if (!isSystemError(error, 'EAFNOSUPPORT')) throw error;
  }
  const setting = `/proc/sys/net/ipv6/conf/${link.name}/disable_ipv6`;
  if (!existsSync(setting)) return;
  try {
    writeFileSync(setting, '1');
  } catch (error) {
    if (!isSystemError(error, 'EROFS') && !isSystemError(error, 'EACCES')) throw error;
  }
}

export function undoTun(name: string): string | null {
  const link = linkNamed(name);
  if (link === undefined) return null;
  if (link.kind !== 'tun') return `${name} is a ${link.kind || 'physical'} interface, not natgate's`;
  deleteLink(link.index);
  return null;
}
