/**
 * Runs in the internet namespace: tries to get at what it was not invited to. Targets are `HOST:PORT` words; each is
 * tried over TCP and UDP, from a port of its own. Prints one line of JSON (Intrusion) at the end.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

export interface Intrusion {
  attempts: number;
  /** Targets where a TCP connection came about. */
  connected: string[];
}

const WAIT_MS = 700;
const targets = process.argv.slice(2).map((word) => {
  const [host, port] = word.split(':');
  return { host: host!, port: Number(port) };
});

const connected: string[] = [];
const udp = createSocket('udp4');
await Promise.all(
  targets.map(({ host, port }) => {
    udp.send('let me in', port, host);
    return new Promise<void>((resolve) => {
      const socket = connect({ host, port });
      const end = () => {
        socket.destroy();
        resolve();
      };
      socket.on('connect', () => {
        connected.push(`${host}:${port}`);
        end();
      });
      socket.on('error', end);
      setTimeout(end, WAIT_MS);
    });
  }),
);
udp.close();
const result: Intrusion = { attempts: 2 * targets.length, connected };
process.stdout.write(`${JSON.stringify(result)}\n`);
