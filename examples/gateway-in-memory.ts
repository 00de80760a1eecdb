/**
 * A whole NAT gateway in memory: packets in on one side, out on the other. For tests of things that must live behind
 * a NAT, without devices, root or waiting.
 *
 *     npm run build && npx tsx examples/gateway-in-memory.ts
 */
import { describePacket, icmpError, MemoryGateway, udpPacket } from 'natgate/testing';

const gateway = new MemoryGateway({ private: '10.77.0.1/24', public: '198.18.0.1/24' });
const SERVER = '203.0.113.9:53';

title('Two clients with the same port ask the same server');
for (const client of ['10.77.0.2:40000', '10.77.0.3:40000']) {
  gateway.sendPrivate(udpPacket({ from: client, to: SERVER, payload: 'question' }));
}
const questions = print('public', gateway.receivePublic());

title('Each gets its own answer');
for (const question of questions) {
  const port = new DataView(question.buffer, question.byteOffset).getUint16(20);
  gateway.sendPublic(udpPacket({ from: SERVER, to: `198.18.0.1:${port}`, payload: 'answer' }));
}
print('private', gateway.receivePrivate());

title('Somebody else tries the open port');
gateway.sendPublic(udpPacket({ from: '192.0.2.66:53', to: '198.18.0.1:40000' }));
print('private', gateway.receivePrivate());

title('A router out there cannot deliver: the client learns about it, in its own terms');
gateway.sendPublic(
  icmpError({ from: '192.0.2.1', to: '198.18.0.1', type: 3, code: 1, packet: questions[0]! }),
);
print('private', gateway.receivePrivate());

title('A traceroute sees the gateway');
gateway.sendPrivate(udpPacket({ from: '10.77.0.2:40001', to: '203.0.113.9:33434', ttl: 1 }));
print('private', gateway.receivePrivate());

title('Two minutes pass in one line');
console.log(`  ${gateway.flows().length} flow(s)`);
gateway.advance(120_000);
console.log(`  ${gateway.flows().length} flow(s)`);

title('What was dropped, and why');
for (const [reason, count] of Object.entries(gateway.drops())) console.log(`  ${count} ${reason}`);

function title(text: string): void {
  console.log(`\n${text}`);
}

function print(side: string, packets: Uint8Array[]): Uint8Array[] {
  if (packets.length === 0) console.log(`  ${side}: nothing`);
  for (const packet of packets) console.log(`  ${side}: ${describePacket(packet)}`);
  return packets;
}
