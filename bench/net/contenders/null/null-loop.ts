/**
 * null-loop CLIENT PUBLIC: what bench/c/null-forwarder.c does, on the addon's exchange. Descriptors 3 and 4 are the TUN queues.
 * Runs until it is ended.
 */
import { BATCH, IN_LIST, OUT_LIST, packetOffset } from '../../../../src/engine/arena.ts';
import { addon } from '../../../../src/link/addon.ts';
import { parseAddress } from '../../../../src/wire/address.ts';
import { nullSwap } from './null-swap.ts';

const PRIVATE_FD = 3;
const PUBLIC_FD = 4;

const [client, external] = process.argv.slice(2).map((text) => parseAddress(text)!);
const exchange = addon().exchangeOpen([PRIVATE_FD, PUBLIC_FD], addon().eventfd());
const words = new Int32Array(exchange.arena);
const swap = nullSwap(exchange.arena, client!, external!);
const IN = IN_LIST >> 2;
const OUT = OUT_LIST >> 2;

for (let count = 0; ; ) {
  count = exchange.run(count, -1);
  if (count < 0) {
    console.error(`a TUN queue broke: errno ${-count}`);
    process.exit(1);
  }
  for (let slot = 0; slot < count && slot < BATCH; slot++) {
    const device = words[IN + 2 * slot]!;
    swap(packetOffset(slot), device);
    words[OUT + 2 * slot] = ((device ^ 1) << 16) | slot;
    words[OUT + 2 * slot + 1] = words[IN + 2 * slot + 1]!;
  }
}
