/**
 * The forwarder of the raw-socket contender; runs in the gateway's namespace. Receives every UDP datagram for
 * the server's address and sends it there from the gateway's public address, port 40000.
 *
 * Two sockets, because the package sends nothing through a socket that has something to receive: with one, a
 * full offer starves the sending. A received packet lies in a buffer that the package reuses, and sending waits
 * for the next poll event, so it is copied into a ring. Datagrams come with only the pseudo-header in their
 * checksum (the sender left the rest to its device), so it is computed in full. The IPv4 header's own checksum is
 * filled in by the kernel.
 */
import { createRequire } from 'node:module';
import { GATEWAY_PUBLIC_ADDRESS, SERVER_ADDRESS } from '../topology.ts';

/** The part of raw-socket's interface used here (it comes without types). */
interface RawSocketModule {
  createSocket(options: { protocol: number; bufferSize: number }): {
    setOption(level: number, option: number, value: Buffer, length: number): void;
    on(event: 'message', listener: (packet: Buffer, source: string) => void): void;
    on(event: 'error', listener: (error: Error) => void): void;
    send(
      packet: Buffer,
      offset: number,
      length: number,
      address: string,
      done: (error: Error | null, bytes: number) => void,
    ): void;
    close(): void;
  };
  SocketLevel: { IPPROTO_IP: number };
  SocketOption: { IP_HDRINCL: number };
  Protocol: { UDP: number };
}

const raw = createRequire(import.meta.url)('raw-socket') as RawSocketModule;

const SOURCE_PORT = 40000;
const SLOT = 2048;
const RING = 1024;
const source = Buffer.from(GATEWAY_PUBLIC_ADDRESS.split('.').map(Number));
const server = Buffer.from(SERVER_ADDRESS.split('.').map(Number));
const slots = Array.from({ length: RING }, () => Buffer.alloc(SLOT));
let next = 0;
let pending = 0;

const IPPROTO_RAW = 255; // receives nothing
const receiver = raw.createSocket({ protocol: raw.Protocol.UDP, bufferSize: SLOT });
const sender = raw.createSocket({ protocol: IPPROTO_RAW, bufferSize: SLOT });
const on = Buffer.from([1, 0, 0, 0]);
sender.setOption(raw.SocketLevel.IPPROTO_IP, raw.SocketOption.IP_HDRINCL, on, on.length);

receiver.on('message', (received) => {
  if (received.compare(server, 0, 4, 16, 20) !== 0 || pending === RING) return;
  const packet = slots[next]!;
  next = (next + 1) % RING;
  received.copy(packet);
  source.copy(packet, 12);
  const udp = (packet[0]! & 0x0f) * 4;
  packet.writeUInt16BE(SOURCE_PORT, udp);
  packet.writeUInt16BE(0, udp + 6);
  packet.writeUInt16BE(udpChecksum(packet, udp, received.length), udp + 6);
  pending++;
  sender.send(packet, 0, received.length, SERVER_ADDRESS, () => {
    pending--;
  });
});
for (const socket of [receiver, sender]) {
  socket.on('error', (error) => {
    console.error(error.message);
    process.exit(1);
  });
}
// Also keeps the sockets referenced: one that nothing refers to is closed by the garbage collector.
process.on('SIGTERM', () => {
  receiver.close();
  sender.close();
  process.exit();
});
console.log('ready');

function udpChecksum(packet: Buffer, udp: number, end: number): number {
  let sum = raw.Protocol.UDP + end - udp;
  for (let i = 12; i < 20; i += 2) sum += packet.readUInt16BE(i);
  for (let i = udp; i + 1 < end; i += 2) sum += packet.readUInt16BE(i);
  if ((end - udp) % 2 === 1) sum += packet[end - 1]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum === 0xffff ? 0xffff : sum ^ 0xffff;
}
