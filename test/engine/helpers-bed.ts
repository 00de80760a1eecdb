/** What the tests of helpers share: a gateway in memory, and a control connection that counts its own numbers. */
import { expect } from 'vitest';
import { type HelperConfig, MemoryGateway, tcpPacket, verifyChecksums } from '../../src/testing/index.ts';

export const CLIENT = '10.77.0.2';
export const OTHER = '10.77.0.3';
export const EXTERNAL = '198.18.0.1';
export const SERVER = '203.0.113.9';
export const STRANGER = '203.0.113.77';

export const FTP: HelperConfig = { name: 'ftp', protocol: 6, port: 21 };
export const TFTP: HelperConfig = { name: 'tftp', protocol: 17, port: 69 };
export const IRC: HelperConfig = { name: 'irc', protocol: 6, port: 6667 };
export const PPTP: HelperConfig = { name: 'pptp', protocol: 6, port: 1723 };
export const SIP: HelperConfig[] = [
  { name: 'sip', protocol: 17, port: 5060 },
  { name: 'sip', protocol: 6, port: 5060 },
];

export function gatewayWith(helpers: readonly HelperConfig[], options = {}): MemoryGateway {
  return new MemoryGateway({ private: '10.77.0.1/24', public: `${EXTERNAL}/24`, helpers, ...options });
}

export function payloadOf(packet: Uint8Array): string {
  const l4 = (packet[0]! & 15) * 4;
  const header = packet[9] === 17 ? 8 : (packet[l4 + 12]! >> 4) * 4;
  return Buffer.from(packet.subarray(l4 + header)).toString('latin1');
}

export function only(packets: Uint8Array[]): Uint8Array {
  expect(packets).toHaveLength(1);
  expect(verifyChecksums(packets[0]!)).toBe(true);
  return packets[0]!;
}

export function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** Source port, sequence and acknowledgement. */
export function numbers(packet: Uint8Array): { port: number; to: number; seq: number; ack: number } {
  const view = new DataView(packet.buffer, packet.byteOffset);
  return {
    port: view.getUint16(20),
    to: view.getUint16(22),
    seq: view.getUint32(24),
    ack: view.getUint32(28),
  };
}

/** Packets in and out at either side. */
export type Ends = Pick<MemoryGateway, 'sendPrivate' | 'sendPublic' | 'receivePrivate' | 'receivePublic'>;

/** A TCP connection from a private host; each end counts in its own numbers. */
export class Connection {
  clientNext = 1000;
  serverNext = 5000;
  /** What each end has received so far, in its own numbering of the other's. */
  serverSeen = 0;
  clientSeen = 0;
  external = 0;
  readonly gateway: Ends;
  private readonly from: string;
  private readonly to: string;

  constructor(gateway: Ends, from: string, to: string) {
    this.gateway = gateway;
    this.from = from;
    this.to = to;
    const syn = this.toServer('', 'S', 999);
    this.external = numbers(syn).port;
    this.serverSeen = numbers(syn).seq + 1;
    this.clientSeen = numbers(this.toClient('', 'SA', 4999)).seq + 1;
    this.toServer('', 'A');
  }

  toServer(payload: string, flags = 'PA', seq = this.clientNext): Uint8Array {
    this.gateway.sendPrivate(
      tcpPacket({
        from: this.from,
        to: this.to,
        flags,
        seq,
        ack: flags === 'S' ? 0 : this.clientSeen,
        payload: latin1(payload),
      }),
    );
    const sent = only(this.gateway.receivePublic());
    if (seq === this.clientNext) {
      this.clientNext += payload.length;
      this.serverSeen = numbers(sent).seq + payloadOf(sent).length;
    }
    return sent;
  }

  toClient(payload: string, flags = 'PA', seq = this.serverNext): Uint8Array {
    this.gateway.sendPublic(
      tcpPacket({
        from: this.to,
        to: `${EXTERNAL}:${this.external}`,
        flags,
        seq,
        ack: this.serverSeen,
        payload: latin1(payload),
      }),
    );
    const sent = only(this.gateway.receivePrivate());
    if (seq === this.serverNext) {
      this.serverNext += payload.length;
      this.clientSeen = numbers(sent).seq + payloadOf(sent).length;
    }
    return sent;
  }
}

export function related(gateway: MemoryGateway) {
  return gateway.flows().filter((flow) => flow.related);
}
