/**
 * Both ends of a soak's flows, in memory: what bench/c/soak-flows.c does in namespaces, on packets that are in an arena. Neither end keeps anything of a
 * flow. Checksums of TCP and UDP are not made: the engine keeps them as right or wrong as they are; that of the header is.
 */
import { Bytes } from '../../src/wire/bytes.ts';
import { checksum } from '../../src/wire/checksum.ts';

const HOSTS = 60;
const PORTS = 1000;
const FIRST_PORT = 20_000;
const IN_A_ROW = 8;
const DESTINATIONS = 16_384;
const SERVICE = 7000;
const UDP_BYTES = 46;
const TCP_BYTES = 40;
const [SYN, ACK, FIN, RST] = [0x02, 0x10, 0x01, 0x04];
const FLAGS = 33;

/** A packet to send. */
export interface Sent {
  bytes: Uint8Array;
  device: number;
}

const PRIVATE = 0;
const PUBLIC = 1;

export class Peer {
  /** Flows begun; those of them that came to their end; packets that nobody should have sent. */
  begun = 0;
  over = 0;
  foreign = 0;

  /** The first packet of the next flow. */
  begin(): Sent {
    const flow = this.begun++;
    const endpoint = Math.floor(flow / IN_A_ROW) % (HOSTS * PORTS);
    const round = Math.floor(flow / (IN_A_ROW * HOSTS * PORTS));
    const destination = (flow + IN_A_ROW * round) % DESTINATIONS;
    const isTcp = flow % 2 === 1;
    const bytes = new Bytes(new ArrayBuffer(48));
    const { u8, u16 } = bytes;
    const view = new DataView(u8.buffer);
    const length = isTcp ? TCP_BYTES : UDP_BYTES;
    u8.set([0x45, 0, 0, length, 0, 0, 0x40, 0, 64, isTcp ? 6 : 17]);
    u8.set([10, 77, 0, 100 + (endpoint % HOSTS)], 12);
    u8.set([198, 18, 64 + (destination >> 8), destination & 255], 16);
    u16[5] = checksum(u8, u16, 0, 20);
    view.setUint16(20, FIRST_PORT + Math.floor(endpoint / HOSTS));
    view.setUint16(22, SERVICE);
    if (isTcp) {
      view.setUint32(24, flow);
      u8.set([0x50, SYN, 0xff, 0xff], 32);
    } else view.setUint16(24, length - 20);
    return { bytes: u8.subarray(0, length), device: PRIVATE };
  }

  /** What a packet is answered with that came out on `device`; null: nothing. */
  answer({ device, packet }: { device: number; packet: Uint8Array }): Sent | null {
    const view = new DataView(packet.buffer, packet.byteOffset);
    const isServer = device === PUBLIC;
    const isTcp = packet[9] === 6;
    if ((!isTcp && packet[9] !== 17) || view.getUint16(isServer ? 22 : 20) !== SERVICE) {
      this.foreign++;
      return null;
    }
    const flags = packet[FLAGS]!;
    if (!isTcp && !isServer) {
      this.over++;
      return null;
    }
    if (isTcp && (flags & (SYN | FIN)) === 0) {
      if (flags & RST) this.foreign++;
      return null;
    }
    const bytes = packet.slice();
    bytes.copyWithin(12, 16, 20);
    bytes.set(packet.subarray(12, 16), 16);
    bytes.copyWithin(20, 22, 24);
    bytes.set(packet.subarray(20, 22), 22);
    if (isTcp) {
      const to = new DataView(bytes.buffer);
      to.setUint32(24, flags & ACK ? view.getUint32(28) : 5000);
      to.setUint32(28, view.getUint32(24) + 1);
      const fin = isServer ? flags & FIN : flags & SYN;
      bytes[FLAGS] = ACK | (isServer && flags & SYN ? SYN : 0) | (fin ? FIN : 0);
      if (!isServer && flags & FIN) this.over++;
    }
    return { bytes, device: isServer ? PUBLIC : PRIVATE };
  }
}
