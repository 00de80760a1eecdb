/**
 * Runs in the internet namespace: `GET /SIZE` answers that many bytes of the pattern. Prints one line when it
 * listens, and the address of each client that comes.
 */
import { createServer, type ServerResponse } from 'node:http';
import { patternBlock } from './pattern.ts';

const block = patternBlock();
const [host, port] = [process.argv[2]!, Number(process.argv[3])];

const server = createServer((request, response) => {
  const size = Number(request.url?.slice(1));
  if (!Number.isSafeInteger(size) || size < 0) {
    response.writeHead(404).end();
    return;
  }
  process.stdout.write(`client ${request.socket.remoteAddress}\n`);
  response.writeHead(200, { 'Content-Length': size });
  send(response, size);
});
server.listen(port, host, () => process.stdout.write('listening\n'));

function send(response: ServerResponse, size: number): void {
  let left = size;
  const more = () => {
    while (left > 0) {
      const piece = block.subarray(0, left);
      left -= piece.length;
      if (!response.write(piece)) {
        response.once('drain', more);
        return;
      }
    }
    response.end();
  };
  more();
}
