/**
 * UDP hole punching between peers behind NATs of every kind, in memory: who can reach whom, and who cannot. Put your own
 * library where `punch` is.
 *
 *     npm run build && npx tsx examples/hole-punching.ts
 */
import { type NatName, namedNats, VirtualNetwork } from 'natgate/testing';

function punch(...nats: [NatName, NatName]): boolean {
  const net = new VirtualNetwork();
  const server = net.host().udp(3478, ({ from }, socket) => socket.send(from, from));
  const peers = nats.map((behind) => net.host({ behind }).udp(5000));
  for (const peer of peers) peer.send(server.endpoint, 'how do you see me?');
  net.run();
  const [a, b] = peers.map((peer) => peer.received.pop()!.text);
  for (const peer of peers) peer.onMessage = ({ from, text }) => text === 'hi' && peer.send(from, 'hello');
  peers[0]!.send(b!, 'hi');
  peers[1]!.send(a!, 'hi');
  net.run();
  return peers.every((peer) => peer.received.length > 0);
}

const kinds = Object.keys(namedNats) as NatName[];
const width = Math.max(...kinds.map((kind) => kind.length)) + 2;
console.log(''.padEnd(width) + kinds.map((kind) => kind.padEnd(width)).join(''));
for (const one of kinds) {
  const cells = kinds.map((other) => (punch(one, other) ? 'yes' : '-').padEnd(width));
  console.log(one.padEnd(width) + cells.join(''));
}
