/**
 * Runs in the private namespace: a careless host with a TCP and a UDP service open to everybody, and a UDP and a
 * TCP flow to the internet, whose external ports an intruder might try. Prints `open` when all that is there, and a
 * line for each visitor. What its own peers say to it is no visit.
 */
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const [port, peerHost, peerPort, flowPort] = [
  Number(process.argv[2]),
  process.argv[3]!,
  Number(process.argv[4]),
  Number(process.argv[5]),
];

const visit = (what: string) => process.stdout.write(`visit ${what}\n`);

createServer((socket) => {
  visit(`TCP from ${socket.remoteAddress}`);
  socket.destroy();
}).listen(port, '0.0.0.0');
createSocket('udp4')
  .on('message', (_, from) => visit(`UDP from ${from.address}`))
  .bind(port, '0.0.0.0');

const flow = createSocket('udp4');
flow.on('message', (_, from) => {
  if (from.address !== peerHost || from.port !== peerPort) visit(`UDP into a flow from ${from.address}`);
});
flow.bind(flowPort, () => {
  flow.send('hello', peerPort, peerHost);
  const connection = connect({ host: peerHost, port: peerPort, localPort: flowPort });
  connection.on('connect', () => process.stdout.write('open\n'));
  connection.on('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
});
