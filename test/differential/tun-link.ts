/** Two TUN devices, whatever namespace they are in by now: a packet written into one arrives from that side, what is read from one was sent to it. */
import {
  BATCH,
  IN_LIST,
  LINEAR_BYTES,
  OUT_LIST,
  overflowOffset,
  packetOffset,
} from '../../src/engine/arena.ts';
import { addon, type Exchange } from '../../src/link/addon.ts';
import { VNET_HEADER } from '../../src/wire/vnet.ts';
import type { Output } from './output.ts';
import type { Side } from './step.ts';

const DEVICES: readonly Side[] = ['private', 'public'];

export class TunLink {
  private readonly exchange: Exchange;
  private readonly u8: Uint8Array;
  private readonly i32: Int32Array;

  /** Makes the devices in the namespace of this process, down. */
  constructor(names: readonly [string, string]) {
    const fds = names.map((name) => addon().tunOpen(name).fd);
    this.exchange = addon().exchangeOpen(fds, addon().eventfd());
    this.u8 = new Uint8Array(this.exchange.arena);
    this.i32 = new Int32Array(this.exchange.arena);
  }

  /** Sends a packet in and returns what has come out by then. */
  send(from: Side, packet: Uint8Array): Output[] {
    const at = packetOffset(BATCH);
    this.u8.fill(0, at - VNET_HEADER, at);
    this.u8.set(packet.subarray(0, LINEAR_BYTES), at);
    if (packet.length > LINEAR_BYTES) this.u8.set(packet.subarray(LINEAR_BYTES), overflowOffset(BATCH));
    this.i32[OUT_LIST >> 2] = (DEVICES.indexOf(from) << 16) | BATCH;
    this.i32[(OUT_LIST >> 2) + 1] = packet.length;
    return this.run(1, 0);
  }

  /** What comes; waits for the first so long. */
  receive(timeoutMs: number): Output[] {
    return this.run(0, timeoutMs);
  }

  private run(writes: number, timeoutMs: number): Output[] {
    const count = this.exchange.run(writes, timeoutMs);
    if (count < 0) throw new Error(`the TUN devices are gone: error ${-count}`);
    const outputs: Output[] = [];
    for (let slot = 0; slot < count; slot++) {
      const entry = (IN_LIST >> 2) + slot * 2;
      const length = this.i32[entry + 1]!;
      const packet = new Uint8Array(length);
      const at = packetOffset(slot);
      packet.set(this.u8.subarray(at, at + Math.min(length, LINEAR_BYTES)));
      if (length > LINEAR_BYTES) {
        const rest = overflowOffset(slot);
        packet.set(this.u8.subarray(rest, rest + length - LINEAR_BYTES), LINEAR_BYTES);
      }
      if (packet[0]! >> 4 === 4) outputs.push({ to: DEVICES[this.i32[entry]!]!, packet });
    }
    return outputs;
  }
}
