/**
 * The way of nearly all packets, in one loop: a whole TCP or UDP packet of a flow that it does not change, to a device it
 * fits through.
 *
 * engine.ts can forward any packet; this forwards the plain ones with the same outcome, and leaves the others untouched
 * for it. What it takes for granted is in the flow: side, route classes, checksum deltas, the tuple to rewrite into. Long on
 * purpose: what a batch shares is loaded once for it, what a packet needs once for the packet, and no call stands between the stages.
 *
 * Invariant: run() changes nothing before it knows that it will send the packet (plainStep() is the last question), and what it
 * leaves in arena, table and counters is what the general path would have left (test/engine/fast-path.test.ts runs both).
 */
import {
  ASSURED,
  C_CREATED,
  COLD,
  CONFIRMED,
  type FlowTable,
  H_BYTES,
  H_BYTES_HIGH,
  H_DELTAS,
  H_DESTINATION,
  H_LAST,
  H_PACKETS,
  H_PORTS,
  H_ROUTE,
  H_STATUS,
  HELPED,
  HOT,
  ORIGINAL_SIDE,
  SEEN_REPLY,
  SIDE_SHIFT,
  TRACK,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { NOT_PLAIN, plainStep } from '../conntrack/tcp-plain.ts';
import { ESTABLISHED } from '../conntrack/tcp-states.ts';
import { type TimeoutTable, UDP_STREAM_AGE_MS } from '../conntrack/timeouts.ts';
import { DESTINATION_PORT, DNS_PORT } from '../conntrack/tracker.ts';
import { TTL_DELTA } from '../nat/translate.ts';
import { PUBLIC } from '../policy/admission.ts';
import type { Bytes } from '../wire/bytes.ts';
import { adjust, fold } from '../wire/checksum.ts';
import { IP_HEADER, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { M_DEVICE, M_HANDLE, M_L4, M_LENGTH, M_OFFSET, META } from '../wire/parse.ts';
import { TCP_CHECKSUM } from '../wire/tcp.ts';
import { UDP_CHECKSUM } from '../wire/udp.ts';
import {
  GSO_NONE,
  NEEDS_CSUM,
  VNET_GSO_SIZE,
  VNET_GSO_TYPE,
  VNET_HDR_LEN,
  VNET_HEADER,
} from '../wire/vnet.ts';
import { HANDLING, IN_LIST, OUT_LIST } from './arena.ts';
import {
  DEVICE_COUNTERS,
  DEVICE_IN_BYTES,
  DEVICE_IN_PACKETS,
  DEVICE_OUT_BYTES,
  DEVICE_OUT_PACKETS,
  DEVICES,
} from './counters.ts';
import type { Devices } from './devices.ts';
import type { Lookup } from './lookup.ts';
import type { OutList } from './out-list.ts';
import type { RouteTable } from './routes.ts';

/** DF and MF in the second word of the header, as loaded. */
const DF_WORD = 0x40 << 16;
const MF_WORD = 0x20 << 16;

export class FastPath {
  /** Tests forward the same packets with and without it. */
  isOn = true;
  private readonly bytes: Bytes;
  private readonly meta: Int32Array;
  private readonly lookup: Lookup;
  private readonly table: FlowTable;
  private readonly hot: Int32Array;
  private readonly track: Int32Array;
  private readonly cold: Int32Array;
  private readonly counters: Float64Array;
  private readonly devices: Devices;
  private readonly routes: RouteTable;
  private readonly out: OutList;
  private readonly timeouts: TimeoutTable;

  constructor(
    meta: Int32Array,
    lookup: Lookup,
    table: FlowTable,
    counters: Float64Array,
    devices: Devices,
    routes: RouteTable,
    out: OutList,
    timeouts: TimeoutTable,
  ) {
    this.bytes = out.bytes;
    this.meta = meta;
    this.lookup = lookup;
    this.table = table;
    this.hot = table.hot;
    this.track = table.track;
    this.cold = table.cold;
    this.counters = counters;
    this.devices = devices;
    this.routes = routes;
    this.out = out;
    this.timeouts = timeouts;
  }

  /**
   * Forwards the packets [first, count) of the in list as far as they are plain ones. Returns the first that is not, untouched, or
   * `count`. `changes`: FlowTable.changes at the lookup; later, flows are looked up again.
   */
  run(first: number, count: number, changes: number, now: number): number {
    const { hot, track, cold, meta, bytes, devices, routes, counters, table } = this;
    const { dns } = this.timeouts;
    const nearer = this.timeouts.tcpNearer[ESTABLISHED]!;
    const { u8, u16, i32 } = bytes;
    const { side, mtu } = devices;
    const { epoch } = routes;
    const classDevice = routes.device;
    const classMtu = routes.mtu;
    if (!this.isOn || devices.failedCount !== 0) return first;
    const isStale = table.changes !== changes;
    let entry = (OUT_LIST >> 2) + this.out.count * 2;
    let i = first;
    for (; i < count; i++) {
      const m = i * META;
      i32[HANDLING] = i;
      if (isStale) this.lookup.find(m);
      const handle = meta[m + M_HANDLE]!;
      // Later fragments, ICMP errors and what parsePacket() refused have no handle.
      if (handle < 0) break;
      const h = (handle >> 1) * HOT;
      const direction = handle & 1;
      const status = hot[h + H_STATUS]!;
      const route = hot[h + H_ROUTE]!;
      const egress = (route >>> (8 - direction * 8)) & 0xff;
      const device = classDevice[egress]!;
      const from = meta[m + M_DEVICE]!;
      const offset = meta[m + M_OFFSET]!;
      const word = offset >> 2;
      const l4 = meta[m + M_L4]!;
      const length = meta[m + M_LENGTH]!;
      const fragment = i32[word + 1]! & (DF_WORD | MF_WORD);
      const third = i32[word + 2]!;
      if (
        ((status >>> (SIDE_SHIFT + direction)) & 1) !== side[from]! ||
        route >>> 16 !== epoch ||
        device < 0 ||
        (third & 0xff) <= 1 ||
        l4 - offset !== IP_HEADER ||
        (fragment !== DF_WORD && (fragment !== 0 || side[device] === PUBLIC))
      ) {
        break;
      }
      const ofRoute = classMtu[egress]!;
      const ofDevice = mtu[device]!;
      const vnet = offset - VNET_HEADER;
      const packet =
        u8[vnet + VNET_GSO_TYPE] === GSO_NONE
          ? length
          : u16[(vnet + VNET_HDR_LEN) >> 1]! + u16[(vnet + VNET_GSO_SIZE) >> 1]!;
      if (packet > ofDevice || (packet > ofRoute && ofRoute !== 0)) break;

      const protocol = status & 0xff;
      let after = status;
      if (protocol === PROTO_TCP) {
        const t = (handle >> 1) * TRACK;
        after = plainStep(track, t, direction, status, bytes, l4, length - (l4 - offset), nearer);
        if (after === NOT_PLAIN) break;
      } else if (protocol === PROTO_UDP) {
        // A first packet or answer changes the flow, and so does the one that shows it to be a stream.
        const flags = status & (CONFIRMED | SEEN_REPLY | ASSURED | HELPED);
        if (flags === (CONFIRMED | SEEN_REPLY)) {
          if (((now - cold[(handle >> 1) * COLD + C_CREATED]!) | 0) > UDP_STREAM_AGE_MS) break;
        } else if (flags !== (CONFIRMED | SEEN_REPLY | ASSURED) && (flags !== CONFIRMED || direction === 1)) {
          break;
        }
        if (dns && (hot[h + H_PORTS]! & DESTINATION_PORT) === DNS_PORT) break;
      } else {
        break;
      }

      hot[h + H_STATUS] = after;
      // Whom only the outside has used does not live on by it (Tracker, refreshes()).
      if (direction === 1 || (after & (ORIGINAL_SIDE | SEEN_REPLY)) !== ORIGINAL_SIDE) hot[h + H_LAST] = now;
      hot[h + H_PACKETS + direction] = hot[h + H_PACKETS + direction]! + 1;
      const had = hot[h + H_BYTES + direction]!;
      const has = (had + length) | 0;
      hot[h + H_BYTES + direction] = has;
      if (has >>> 0 < had >>> 0) {
        hot[h + H_BYTES_HIGH] = hot[h + H_BYTES_HIGH]! + (direction === 1 ? 0x10000 : 1);
      }

      // translatePacket(), by words
      const other = h + TUPLE - direction * TUPLE;
      const flip = -direction & 0xffff;
      const deltas = hot[h + H_DELTAS]!;
      const addresses = (deltas & 0xffff) ^ flip;
      i32[word + 3] = hot[other + H_DESTINATION]!;
      i32[word + 4] = hot[other]!;
      i32[word + 2] = ((third - 1) & 0xffff) | (adjust(third >>> 16, addresses + TTL_DELTA) << 16);
      const ports = hot[other + H_PORTS]!;
      i32[l4 >> 2] = (ports >>> 16) | (ports << 16);
      const at = (l4 + (protocol === PROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM)) >> 1;
      const checksum = u16[at]!;
      if ((u8[vnet]! & NEEDS_CSUM) !== 0) {
        u16[at] = fold(checksum + addresses);
      } else if (protocol === PROTO_TCP) {
        u16[at] = adjust(checksum, (deltas >>> 16) ^ flip);
      } else if (checksum !== 0) {
        const adjusted = adjust(checksum, (deltas >>> 16) ^ flip);
        u16[at] = adjusted === 0 ? 0xffff : adjusted;
      }

      const input = DEVICES + from * DEVICE_COUNTERS;
      counters[input + DEVICE_IN_PACKETS]!++;
      counters[input + DEVICE_IN_BYTES]! += i32[(IN_LIST >> 2) + i * 2 + 1]!;
      const output = DEVICES + device * DEVICE_COUNTERS;
      counters[output + DEVICE_OUT_PACKETS]!++;
      counters[output + DEVICE_OUT_BYTES]! += length;
      i32[entry] = (device << 16) | i;
      i32[entry + 1] = length;
      entry += 2;
    }
    this.out.count += i - first;
    return i;
  }
}
