/**
 * Runs an engine of its own on made-up packets, so that the compiler has seen the hot path before the first real packet
 * comes: cold, a packet takes some hundred times as long.
 *
 * One TCP and one UDP conversation, both ways, in batches of 64: what a busy gateway does. Nothing of it is kept but
 * what V8 has learned about the functions.
 */
import { OWNED_BYTES } from '../nat/owned.ts';
import { parseAddress } from '../wire/address.ts';
import { Bytes, putBe16 } from '../wire/bytes.ts';
import { checksum } from '../wire/checksum.ts';
import { IP_HEADER, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { ACK, TCP_FLAGS } from '../wire/tcp.ts';
import { UDP_LENGTH } from '../wire/udp.ts';
import { VNET_HEADER } from '../wire/vnet.ts';
import { BATCH, IN_LIST, packetOffset } from './arena.ts';
import { Engine } from './engine.ts';
import { formatState, stateBytes } from './state.ts';

/** Enough for the optimising compiler; takes some tens of milliseconds. */
const BATCHES = 300;
const FLOWS = 1024;
const LENGTH = 64;
const PRIVATE_DEVICE = 0;
const PUBLIC_DEVICE = 1;
const CLIENT = parseAddress('10.0.0.2')!;
const SERVER = parseAddress('198.51.100.2')!;
const EXTERNAL = parseAddress('198.51.100.1')!;
const CLIENT_PORT = 40000;
const SERVER_PORT = 443;

/** `arena`: that of the exchange, before it is used. */
export function warmUp(arena: ArrayBuffer): void {
  const state = new ArrayBuffer(stateBytes(FLOWS));
  formatState(state, FLOWS, [1, 2]);
  const engine = new Engine({
    arena,
    state,
    owned: new ArrayBuffer(OWNED_BYTES),
    devices: [
      { side: 'private', address: parseAddress('10.0.0.1')!, mtu: 1500 },
      { side: 'public', address: EXTERNAL, mtu: 1500 },
    ],
    ports: { first: 32768, last: 65535 },
    seed: 1,
    now: 0,
  });
  engine.setRoutes([
    { prefix: CLIENT, length: 32, device: PRIVATE_DEVICE, gateway: 0, mtu: 0 },
    { prefix: 0, length: 0, device: PUBLIC_DEVICE, gateway: 0, mtu: 0 },
  ]);
  const packets = new Bytes(arena);
  const list = new Int32Array(arena, IN_LIST, BATCH * 2);
  for (let batch = 0; batch < BATCHES; batch++) {
    for (let slot = 0; slot < BATCH; slot++) {
      const outbound = (slot & 1) === 0;
      const at = packetOffset(slot);
      packets.u8.fill(0, at - VNET_HEADER, at + LENGTH);
      packets.u8[at] = 0x45;
      packets.u8[at + 3] = LENGTH;
      packets.u8[at + 8] = 64;
      const tcp = (slot & 2) === 0;
      packets.u8[at + 9] = tcp ? PROTO_TCP : PROTO_UDP;
      packets.i32[(at + 12) >> 2] = outbound ? CLIENT : SERVER;
      packets.i32[(at + 16) >> 2] = outbound ? SERVER : EXTERNAL;
      packets.u16[(at + 10) >> 1] = checksum(packets.u8, packets.u16, at, IP_HEADER);
      const l4 = at + IP_HEADER;
      putBe16(packets.u8, l4, outbound ? CLIENT_PORT : SERVER_PORT);
      putBe16(packets.u8, l4 + 2, outbound ? SERVER_PORT : CLIENT_PORT);
      if (tcp) {
        packets.u8[l4 + 12] = 0x50;
        packets.u8[l4 + TCP_FLAGS] = ACK;
      } else {
        putBe16(packets.u8, l4 + UDP_LENGTH, LENGTH - IP_HEADER);
      }
      list[slot * 2] = outbound ? PRIVATE_DEVICE : PUBLIC_DEVICE;
      list[slot * 2 + 1] = LENGTH;
    }
    engine.process(0, BATCH, batch);
    engine.clearOut();
    engine.tick(batch);
  }
}
