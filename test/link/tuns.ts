/** TUN devices with addresses and an exchange over them, for scenarios in a namespace. */
import { execFileSync } from 'node:child_process';
import {
  BATCH,
  HEADER_BYTES,
  HEADERS,
  IN_LIST,
  LINEAR_BYTES,
  OUT_LIST,
  OVERFLOW,
  OVERFLOW_BYTES,
  SLOTS,
  VNET_OFFSET,
} from '../../src/engine/arena.ts';
import { addon, type Exchange } from '../../src/link/addon.ts';
import { PLAIN, type VnetFields } from './packets.ts';

export interface Received {
  device: number;
  vnet: VnetFields;
  packet: Buffer;
}

export function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8' });
}

export class Tuns {
  readonly fds: number[] = [];
  readonly wakeFd: number;
  readonly exchange: Exchange;
  readonly control: Int32Array;
  readonly bytes: Buffer;
  readonly #lists: DataView;
  #outCount = 0;
  #slot = BATCH;

  /** Opens t0, t1 ... and gives each an address with prefix length; the devices are up. */
  constructor(addresses: readonly string[]) {
    for (const [i, address] of addresses.entries()) {
      this.fds.push(addon().tunOpen(`t${i}`).fd);
      ip(`address add ${address} dev t${i}`);
      ip(`link set t${i} up mtu 65535 txqueuelen 4096`);
    }
    this.wakeFd = addon().eventfd();
    this.exchange = addon().exchangeOpen(this.fds, this.wakeFd);
    this.control = new Int32Array(this.exchange.arena);
    this.bytes = Buffer.from(this.exchange.arena);
    this.#lists = new DataView(this.exchange.arena);
  }

  /** Puts a packet into a slot of the engine's and an entry into the out list. */
  put(device: number, packet: Uint8Array, vnet: VnetFields = PLAIN): void {
    const header = HEADERS + this.#slot * HEADER_BYTES + VNET_OFFSET;
    this.#lists.setUint8(header, vnet.flags);
    this.#lists.setUint8(header + 1, vnet.gsoType);
    this.#lists.setUint16(header + 2, vnet.headerLength, true);
    this.#lists.setUint16(header + 4, vnet.gsoSize, true);
    this.#lists.setUint16(header + 6, vnet.checksumStart, true);
    this.#lists.setUint16(header + 8, vnet.checksumOffset, true);
    this.bytes.set(packet.subarray(0, LINEAR_BYTES), header + 10);
    this.bytes.set(packet.subarray(LINEAR_BYTES), OVERFLOW + this.#slot * OVERFLOW_BYTES);
    this.putEntry(device, this.#slot, packet.length);
    this.#slot = this.#slot + 1 === SLOTS ? BATCH : this.#slot + 1;
  }

  /** An entry as it is, right or wrong. */
  putEntry(device: number, slot: number, length: number): void {
    this.#lists.setInt32(OUT_LIST + this.#outCount * 8, (device << 16) | slot, true);
    this.#lists.setInt32(OUT_LIST + this.#outCount * 8 + 4, length, true);
    this.#outCount++;
  }

  /** Writes without reading. */
  flush(): void {
    this.exchange.flush(this.#outCount);
    this.#outCount = 0;
  }

  run(timeoutMs: number): Received[] {
    const count = this.exchange.run(this.#outCount, timeoutMs);
    this.#outCount = 0;
    if (count < 0) throw new Error(`run returned ${count}`);
    return Array.from({ length: count }, (_, slot) => this.#take(slot));
  }

  /** Runs until `count` packets have come, or none for a second. */
  collect(count: number): Received[] {
    const all: Received[] = [];
    while (all.length < count) {
      const some = this.run(1000);
      if (some.length === 0) break;
      all.push(...some);
    }
    return all;
  }

  #take(slot: number): Received {
    const device = this.#lists.getInt32(IN_LIST + slot * 8, true);
    const length = this.#lists.getInt32(IN_LIST + slot * 8 + 4, true);
    const header = HEADERS + slot * HEADER_BYTES + VNET_OFFSET;
    const linear = this.bytes.subarray(header + 10, header + 10 + Math.min(length, LINEAR_BYTES));
    const overflow = OVERFLOW + slot * OVERFLOW_BYTES;
    const rest = this.bytes.subarray(overflow, overflow + Math.max(0, length - LINEAR_BYTES));
    return {
      device,
      vnet: {
        flags: this.#lists.getUint8(header),
        gsoType: this.#lists.getUint8(header + 1),
        headerLength: this.#lists.getUint16(header + 2, true),
        gsoSize: this.#lists.getUint16(header + 4, true),
        checksumStart: this.#lists.getUint16(header + 6, true),
        checksumOffset: this.#lists.getUint16(header + 8, true),
      },
      packet: Buffer.concat([linear, rest]),
    };
  }
}
