/**
 * The supervisor's side of the quarantine. An engine that throws or gets stuck says which packet it was at (accusation.ts,
 * worker-watch.ts); here that packet is written down, for whoever mends the bug, and remembered, for the next engine to drop it
 * (engine/quarantine.ts).
 *
 *     first time         what equals it is dropped
 *     the same bytes     … again, although they were dropped: with whatever addresses and ports (it had been translated when it was copied)
 *     MOST_VARIED        different ones of one flow: all of that flow's direction
 *
 * Limits: MOST_SIGNATURES, each for KEEP_MS, the oldest give way; MOST_FILES, the oldest go. A file that cannot be written is said, no
 * more. What comes from the engine is checked: it may be anything.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Offender } from '../../engine/offence.ts';
import { MOST_SIGNATURES } from '../../engine/quarantine.ts';
import { isSameBytes, isSameTuple, type Signature, signatureOf } from '../../engine/signature.ts';
import { formatAddress } from '../../wire/address.ts';
import { be16 } from '../../wire/bytes.ts';
import { IP_HEADER } from '../../wire/ipv4.ts';
import { VNET_HEADER } from '../../wire/vnet.ts';
import { enhancedPacket, INBOUND, interfaceDescription, sectionHeader } from '../capture/pcapng.ts';
import type { Log } from '../log.ts';
import { packageVersion } from '../version.ts';
import type { QuarantineMessage } from './messages.ts';

export const KEEP_MS = 600_000;
export const MOST_FILES = 16;
/** Different packets of one flow's direction, from which on all of it are dropped. */
const MOST_VARIED = 3;
const MOST_PACKETS = 64;
const MOST_REASON = 16_384;
const PCAPNG = '.pcapng';
const REPORT = 'please report it with that file: natgate has a bug';

export interface QuarantineSetup {
  /** Where the files are; made when there is a first one. */
  directory: string;
  /** Of the devices, by index. */
  names: readonly string[];
  log: Log;
  /** ms of CLOCK_MONOTONIC, and of the wall clock. */
  now?: () => number;
  wallClock?: () => number;
}

export class QuarantineStore {
  /** Packets that are, or were, in quarantine. */
  count = 0;
  private readonly setup: QuarantineSetup;
  private readonly now: () => number;
  private readonly wallClock: () => number;
  private list: Signature[] = [];
  private files = 0;

  constructor(setup: QuarantineSetup) {
    this.setup = setup;
    this.now = setup.now ?? (() => performance.now() + ORIGIN);
    this.wallClock = setup.wallClock ?? Date.now;
  }

  /** For an engine that starts. */
  get signatures(): readonly Signature[] {
    const now = this.now() | 0;
    this.list = this.list.filter(({ until }) => ((now - until) | 0) < 0);
    return this.list;
  }

  /** Returns what became of it, for a log; null: the next engine will not know the packet. */
  take(message: QuarantineMessage): string | null {
    const { log } = this.setup;
    const { packets } = message;
    if (!isWellFormed(message, this.setup.names.length)) {
      log('the packet engine accused a packet that cannot be', 'error');
      return null;
    }
    if (packets.length === 0) return null;
    const path = this.write(message);
    const saved = path === null ? '' : `, saved in ${path}`;
    const [one] = packets;
    if (packets.length > 1) {
      log(`the packet engine stumbled over one of ${packets.length} packets${saved}`, 'error', REPORT);
      return null;
    }
    const told = describe(one!, this.setup.names);
    log(`the packet engine stumbled over a packet (${told})${saved}; its like is dropped`, 'error', REPORT);
    this.remember(one!);
    this.count++;
    return told;
  }

  private remember({ device, bytes }: Offender): void {
    const fresh = signatureOf(device, bytes, bytes.length, (this.now() + KEEP_MS) | 0);
    const known = this.signatures;
    const same = known.find((one) => one.likeness !== 'tuple' && isSameBytes(one, fresh));
    const varied = known.filter((one) => isSameTuple(one, fresh));
    if (same !== undefined) fresh.likeness = 'bytes';
    else if (varied.length >= MOST_VARIED - 1) fresh.likeness = 'tuple';
    const replaced = same !== undefined ? [same] : fresh.likeness === 'tuple' ? varied : [];
    this.list = [...known.filter((one) => !replaced.includes(one)), fresh].slice(-MOST_SIGNATURES);
  }

  /** Returns the path; null: it could not be written, which is said. */
  private write(message: QuarantineMessage): string | null {
    const { directory, names, log } = this.setup;
    const time = this.wallClock();
    const stamp = new Date(time).toISOString().replaceAll(':', '-');
    const path = join(directory, `${stamp}-${String(this.files++).padStart(3, '0')}${PCAPNG}`);
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      makeRoom(directory);
      writeFileSync(path, pcapngOf(message, names, time), { mode: 0o600, flag: 'wx' });
      return path;
    } catch (error) {
      log(`a packet in quarantine cannot be saved: ${(error as Error).message}`, 'error');
      return null;
    }
  }
}

/** performance.now() counts from the start of the process; CLOCK_MONOTONIC is what engines go by. */
const ORIGIN = Number(process.hrtime.bigint() / 1_000_000n) - Math.floor(performance.now());

/** Whether an engine may have said this. */
export function isWellFormed({ worker, reason, packets }: QuarantineMessage, devices: number): boolean {
  const isOfDevice = (device: unknown) =>
    Number.isInteger(device) && inRange(device as number, 0, devices - 1);
  return (
    Number.isInteger(worker) &&
    inRange(worker, 0, 255) &&
    typeof reason === 'string' &&
    reason.length <= MOST_REASON &&
    Array.isArray(packets) &&
    packets.length <= MOST_PACKETS &&
    packets.every(
      (one) =>
        typeof one === 'object' &&
        one !== null &&
        isOfDevice(one.device) &&
        one.bytes instanceof Uint8Array &&
        inRange(one.bytes.length, IP_HEADER, 0xffff) &&
        one.vnet instanceof Uint8Array &&
        one.vnet.length === VNET_HEADER,
    )
  );
}

function inRange(value: number, least: number, most: number): boolean {
  return value >= least && value <= most;
}

/** So that one more is not too many. Names begin with the time. */
function makeRoom(directory: string): void {
  const files = readdirSync(directory).filter((name) => name.endsWith(PCAPNG));
  for (const name of files.toSorted().slice(0, Math.max(0, files.length - MOST_FILES + 1))) {
    rmSync(join(directory, name), { force: true });
  }
}

function pcapngOf(message: QuarantineMessage, names: readonly string[], time: number): Buffer {
  const { packets, worker, reason } = message;
  const doubt = packets.length > 1 ? [`one of these ${packets.length} packets it was`] : [];
  return Buffer.concat([
    sectionHeader(`natgate ${packageVersion()}`),
    ...names.map((name) => interfaceDescription(name, 'as the engine got it', 0)),
    ...packets.map(({ device, bytes, vnet }) =>
      enhancedPacket({
        interface: device,
        time,
        direction: INBOUND,
        packet: bytes,
        length: bytes.length,
        comments: [
          `worker ${worker}: ${reason}`,
          ...doubt,
          `virtio_net_hdr: ${Buffer.from(vnet).toString('hex')}`,
        ],
      }),
    ),
  ]);
}

/** `protocol 17 10.0.0.1:40000 → 198.51.100.1:53, 120 bytes, from eth0` */
function describe({ device, bytes }: Offender, names: readonly string[]): string {
  const { protocol, source, destination, ports } = signatureOf(device, bytes, bytes.length, 0);
  const port = (word: number) => (ports === 0 ? '' : `:${be16(Uint8Array.of(word, word >>> 8), 0)}`);
  const from = `${formatAddress(source)}${port(ports & 0xffff)}`;
  const to = `${formatAddress(destination)}${port(ports >>> 16)}`;
  return `protocol ${protocol}, ${from} → ${to}, ${bytes.length} bytes, from ${names[device]}`;
}
