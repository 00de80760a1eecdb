/** Packets made and read by the raw-socket package, which shares no code with the gateway or with these tests. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { useGateway } from './support/fixture.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER } from './support/topology.ts';

interface Echo {
  type: number;
  source: string;
  destination: string;
  ttl: number;
  identifier: number;
  sequence: number;
  checksumOk: boolean;
  data: string;
}

const SCRIPT = fileURLToPath(new URL('./support/raw-echo.mjs', import.meta.url));
const COUNT = 20;

describe('raw sockets on both sides', () => {
  const net = useGateway();

  it('see echo requests and replies with translated addresses and right checksums', async () => {
    const listener = net.topology.server.spawn([process.execPath, SCRIPT, 'listen']);
    await listener.shows(/^listening$/m);
    const { stdout } = await net.topology.client.exec([
      process.execPath,
      SCRIPT,
      'ping',
      SERVER,
      String(COUNT),
    ]);
    await listener.stop();
    const parse = (text: string) =>
      text
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Echo);

    const requests = parse(listener.stdout).filter((echo) => echo.type === 8);
    expect(requests).toHaveLength(COUNT);
    requests.forEach((request, i) => {
      expect(request).toMatchObject({
        source: GATEWAY_PUBLIC,
        destination: SERVER,
        checksumOk: true,
        sequence: i + 1,
      });
      expect(request.ttl).toBe(63);
      expect(request.data).toBe(`echo ${i + 1}`);
    });
    // One identifier for one flow, whichever it is.
    expect(new Set(requests.map((request) => request.identifier)).size).toBe(1);

    const replies = parse(stdout);
    expect(replies.map((reply) => reply.sequence)).toEqual(requests.map((request) => request.sequence));
    for (const reply of replies) {
      expect(reply).toMatchObject({ source: SERVER, destination: CLIENT, checksumOk: true, ttl: 63 });
    }
  });
});
