/** What tun.test.ts runs in network namespaces. */

import dgram from 'node:dgram';
import { once } from 'node:events';
import { closeSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { WRITE_ERRNO, WRITE_REFUSED } from '../../src/engine/arena.ts';
import { addon } from '../../src/link/addon.ts';
import { echoRequest, PLAIN, pattern, pseudoSum, tcp, udp, type VnetFields } from '../link/packets.ts';
import { ip, type Received, Tuns } from '../link/tuns.ts';

const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

/** Lets sockets of this process and the TUNs make progress until a packet that fits has come. */
async function next(tuns: Tuns, fits: (received: Received) => boolean): Promise<Received> {
  for (let i = 0; i < 200; i++) {
    const found = tuns.run(0).find(fits);
    if (found !== undefined) return found;
    await turn();
  }
  throw new Error('no such packet came');
}

const protocolIs = (protocol: number) => (received: Received) => received.packet[9] === protocol;

/** What sockets of the host send into a TUN. */
export async function checksumsOfSockets() {
  const tuns = new Tuns(['10.1.0.1/24']);
  const socket = net.connect(7, '10.1.0.2').on('error', () => {});
  const syn = await next(tuns, protocolIs(6));
  socket.destroy();
  const udpSocket = dgram.createSocket('udp4');
  udpSocket.send(pattern(100), 7, '10.1.0.2');
  const datagram = await next(tuns, protocolIs(17));
  udpSocket.close();
  const field = (received: Received) =>
    received.packet.readUInt16BE(received.vnet.checksumStart + received.vnet.checksumOffset);
  return [syn, datagram].map((received) => ({
    vnet: { ...received.vnet, headerLength: 0 }, // a hint only
    fieldIsPseudoSum: field(received) === pseudoSum(received.packet),
  }));
}

/** A TCP connection answered by hand, to see what a socket's bulk data looks like. */
export async function superPacketOfSocket() {
  const tuns = new Tuns(['10.1.0.1/24']);
  const socket = net.connect(7, '10.1.0.2').on('error', () => {});
  const { packet: syn } = await next(tuns, protocolIs(6));
  const sequence = syn.readUInt32BE(24);
  const ports = { sourcePort: 7, destinationPort: syn.readUInt16BE(20) };
  const answer = { from: '10.1.0.2', to: '10.1.0.1', ...ports, sequence: 1, flags: 0x12 };
  tuns.put(0, tcp({ ...answer, acknowledgement: sequence + 1 }, Buffer.alloc(0), 'full'));
  tuns.flush();
  await once(socket, 'connect');
  socket.write(pattern(40_000));
  const { vnet, packet } = await next(tuns, ({ vnet }) => vnet.gsoType !== 0);
  socket.destroy();
  return {
    vnet: { ...vnet, headerLength: 0 },
    severalSegments: packet.length - 40 >= 2 * vnet.gsoSize,
    lengthField: packet.readUInt16BE(2) === packet.length,
    fieldIsPseudoSumOfTheWhole: packet.readUInt16BE(36) === pseudoSum(packet),
  };
}

/** What is delivered to a socket of the host, and what is forwarded to another TUN. */
export async function checksumsOfWrites() {
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  const tuns = new Tuns(['10.1.0.1/24', '10.2.0.1/24']);
  const socket = dgram.createSocket('udp4');
  const delivered: string[] = [];
  socket.on('message', (message) => delivered.push(message.toString()));
  await new Promise<void>((resolve) => socket.bind(7, resolve));

  const partial = { ...PLAIN, flags: 1, checksumStart: 20, checksumOffset: 6 };
  const wrong = (packet: Buffer) => {
    packet.writeUInt16BE(packet.readUInt16BE(26) ^ 0x5555, 26);
    return packet;
  };
  const to = (address: string, text: string, checksum: 'full' | 'partial') =>
    udp('10.1.0.2', address, 99, 7, Buffer.from(text), checksum);
  tuns.put(0, to('10.1.0.1', 'full', 'full'));
  tuns.put(0, wrong(to('10.1.0.1', 'full but wrong', 'full')));
  tuns.put(0, to('10.1.0.1', 'partial', 'partial'), partial);
  tuns.put(0, to('10.1.0.1', 'partial unsaid', 'partial'));
  const forwarded = wrong(to('10.2.0.2', 'forwarded though wrong', 'full'));
  tuns.put(0, forwarded);
  const received = tuns.run(1000).filter(protocolIs(17));
  for (let i = 0; i < 10; i++) await turn();
  socket.close();
  return {
    delivered,
    forwardedUnchanged: received.map(({ device, vnet, packet }) => ({
      device,
      vnet,
      equal: packet.subarray(20).equals(forwarded.subarray(20)),
    })),
  };
}

/** Vnet headers that the kernel takes or refuses, for one TCP packet of 40 + 3000 bytes. */
export function refusedHeaders() {
  const tuns = new Tuns(['10.1.0.1/24']);
  const fields = { from: '10.1.0.2', to: '10.1.0.1', sourcePort: 7, destinationPort: 8 };
  const packet = tcp({ ...fields, sequence: 1, acknowledgement: 0, flags: 0x10 }, pattern(3000), 'partial');
  const good: VnetFields = {
    flags: 1,
    gsoType: 1,
    headerLength: 40,
    gsoSize: 1000,
    checksumStart: 20,
    checksumOffset: 16,
  };
  const changes: Record<string, Partial<VnetFields>> = {
    good: {},
    headerLengthZero: { headerLength: 0 },
    headerLengthOfTheWhole: { headerLength: 3040 },
    headerLengthBeyondThePacket: { headerLength: 3041 },
    gsoSizeZero: { gsoSize: 0 },
    checksumBeyondThePacket: { checksumStart: 3039 },
    checksumInTheIpHeader: { checksumStart: 8 },
    unknownGsoType: { gsoType: 9 },
  };
  const refused: Record<string, number | false> = {};
  for (const [name, change] of Object.entries(changes)) {
    const before = tuns.control[WRITE_REFUSED]!;
    tuns.put(0, packet, { ...good, ...change });
    tuns.flush();
    refused[name] = tuns.control[WRITE_REFUSED]! > before && tuns.control[WRITE_ERRNO]!;
  }
  return refused;
}

/** How many packets wait for a reader that does not read. */
export function queueLength() {
  const tuns = new Tuns(['10.1.0.1/24']);
  const waiting = (length: number) => {
    ip(`link set t0 txqueuelen ${length}`);
    for (let sent = 0; sent < 3000; sent += 100) {
      for (let i = 0; i < 100; i++) tuns.put(0, echoRequest('10.1.0.2', '10.1.0.1', i, pattern(8)));
      tuns.flush();
    }
    let count = 0;
    for (let received = tuns.run(0).length; received > 0; received = tuns.run(0).length) count += received;
    return count;
  };
  return { 500: waiting(500), 4096: waiting(4096) };
}

/** A persistent device while nobody has it open. */
export function withoutReader() {
  const carrier = () => !ip('-o link show p0').includes('NO-CARRIER');
  const { fd } = addon().tunOpen('p0');
  addon().tunSetPersist(fd, true);
  ip('link set p0 up');
  const open = carrier();
  closeSync(fd);
  const closed = carrier();
  const again = addon().tunOpen('p0').fd;
  const reopened = carrier();
  closeSync(again);
  return { open, closed, reopened };
}
