/**
 * The server's side of a chaos run, as a program of its own: TCP transfers (what it sends is a pattern; of what it receives it says the
 * SHA-256, and now and then a dot that it is still coming) and queries by UDP, answered with their SHA-256. Until it is killed.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { clock, QUERY_PORT, type Request, send, TCP_PORT } from './stream.ts';

const DOT_MS = 100;
const LONGEST_LINE = 1000;

function serve(socket: Socket): void {
  let head = Buffer.alloc(0);
  socket.on('error', () => {});
  const onData = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf(10);
    if (end < 0) {
      if (head.length > LONGEST_LINE) {
        console.error(`no request: ${head.toString('latin1').slice(0, 200)}`);
        socket.destroy();
      }
      return;
    }
    socket.off('data', onData);
    let request: Request;
    try {
      request = JSON.parse(head.subarray(0, end).toString()) as Request;
    } catch {
      console.error(`no request: ${head.toString('latin1').slice(0, 200)}`);
      socket.destroy();
      return;
    }
    if (request.mode === 'down') {
      socket.resume();
      void send(socket, request).then((whole) => whole && socket.end());
    } else receive(socket, head.subarray(end + 1));
  };
  socket.on('data', onData);
}

function receive(socket: Socket, first: Buffer): void {
  const hash = createHash('sha256').update(first);
  let dotted = clock();
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    if (clock() - dotted < DOT_MS) return;
    dotted = clock();
    socket.write('.');
  });
  socket.on('end', () => socket.end(`\n${hash.digest('hex')}\n`));
}

createServer({ allowHalfOpen: true, noDelay: true }, serve).listen(TCP_PORT, '0.0.0.0', 1024, () => {
  const queries = createSocket('udp4', (message, { port, address }) => {
    queries.send(createHash('sha256').update(message).digest('hex'), port, address, () => {});
  });
  queries.on('error', () => {});
  queries.bind(QUERY_PORT, () => console.log('ready'));
});
