/**
 * Runs on both sides. `server HOST PORT` echoes and prints `listening`. `client HOST PORT COUNT PARALLEL` opens COUNT
 * connections, so many at a time; each sends a byte, waits for it to come back, and closes. Prints connections per second.
 */
import { connect, createServer } from 'node:net';

const [role, host] = [process.argv[2]!, process.argv[3]!];
const [port, count, parallel] = process.argv.slice(4).map(Number) as [number, number, number];

if (role === 'server') serve();
else open();

function serve(): void {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('data', (data) => socket.end(data));
    socket.on('error', () => socket.destroy());
  });
  server.listen({ port, host, backlog: 1024 }, () => process.stdout.write('listening\n'));
}

function open(): void {
  const began = performance.now();
  let started = 0;
  let done = 0;
  const next = () => {
    if (started === count) return;
    started++;
    const socket = connect({ host, port, noDelay: true }, () => socket.write('x'));
    let answered = false;
    socket.on('data', () => {
      answered = true;
    });
    socket.on('error', fail);
    socket.on('close', () => {
      if (!answered) fail(new Error('a connection was closed before its answer came'));
      done++;
      if (done === count) {
        process.stdout.write(`${(count * 1000) / (performance.now() - began)}\n`);
      } else {
        next();
      }
    });
  };
  for (let i = 0; i < parallel; i++) next();
}

function fail(error: Error): never {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
