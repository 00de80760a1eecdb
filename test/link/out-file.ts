/**
 * An exchange whose queues are plain files: what is written there, one call after the other, can be read back without a device. A
 * record is a virtio_net_hdr and a packet that says its own length.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  HEADER_BYTES,
  HEADERS,
  LINEAR_BYTES,
  OUT_LIST,
  overflowOffset,
  VNET_OFFSET,
} from '../../src/engine/arena.ts';
import { addon, type Exchange } from '../../src/link/addon.ts';
import type { Segment } from './segments.ts';

const VNET_BYTES = 10;

export interface Entry extends Segment {
  device: number;
}

export class OutFiles {
  readonly control: Int32Array;
  private readonly folder = mkdtempSync(join(tmpdir(), 'natgate-out-'));
  private readonly names: readonly string[];
  private readonly fds: readonly number[];
  private readonly exchange: Exchange;

  constructor(devices = 1) {
    this.names = Array.from({ length: devices }, (_, i) => join(this.folder, String(i)));
    this.fds = [...this.names.map((name) => openSync(name, 'w')), addon().eventfd()];
    this.exchange = addon().exchangeOpen(this.fds.slice(0, devices), this.fds[devices]!);
    this.control = new Int32Array(this.exchange.arena);
  }

  /** Writes the entries as one out list. */
  flush(entries: readonly Entry[]): void {
    put(this.exchange.arena, entries);
    this.exchange.flush(entries.length);
  }

  /** What each device has got so far. */
  get written(): Segment[][] {
    return this.names.map((name) => records(readFileSync(name)));
  }

  close(): void {
    for (const fd of this.fds) closeSync(fd);
    rmSync(this.folder, { recursive: true });
  }
}

/** What each device gets when the entries are one out list, and the control words afterwards. */
export function write(entries: readonly Entry[], devices = 1): { written: Segment[][]; control: Int32Array } {
  const files = new OutFiles(devices);
  try {
    files.flush(entries);
    return { written: files.written, control: files.control.slice(0, 16) };
  } finally {
    files.close();
  }
}

/** Makes the entries the out list of an arena. */
export function put(arena: ArrayBuffer, entries: readonly Entry[]): void {
  for (const [i, entry] of entries.entries()) place(Buffer.from(arena), i, entry);
}

function place(arena: Buffer, slot: number, { device, packet, vnet }: Entry): void {
  const header = HEADERS + slot * HEADER_BYTES + VNET_OFFSET;
  arena[header] = vnet.flags;
  arena[header + 1] = vnet.gsoType;
  arena.writeUInt16LE(vnet.headerLength, header + 2);
  arena.writeUInt16LE(vnet.gsoSize, header + 4);
  arena.writeUInt16LE(vnet.checksumStart, header + 6);
  arena.writeUInt16LE(vnet.checksumOffset, header + 8);
  arena.set(packet.subarray(0, LINEAR_BYTES), header + VNET_BYTES);
  arena.set(packet.subarray(LINEAR_BYTES), overflowOffset(slot));
  arena.writeUInt32LE((device << 16) | slot, OUT_LIST + slot * 8);
  arena.writeInt32LE(packet.length, OUT_LIST + slot * 8 + 4);
}

function records(file: Buffer): Segment[] {
  const found: Segment[] = [];
  for (let at = 0; at < file.length; ) {
    const vnet = {
      flags: file[at]!,
      gsoType: file[at + 1]!,
      headerLength: file.readUInt16LE(at + 2),
      gsoSize: file.readUInt16LE(at + 4),
      checksumStart: file.readUInt16LE(at + 6),
      checksumOffset: file.readUInt16LE(at + 8),
    };
    const length = file.readUInt16BE(at + VNET_BYTES + 2);
    found.push({ vnet, packet: file.subarray(at + VNET_BYTES, at + VNET_BYTES + length) });
    at += VNET_BYTES + length;
  }
  return found;
}
