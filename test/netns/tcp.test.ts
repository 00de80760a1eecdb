/** TCP through the gateway: whole files in both directions, many connections at once, refusals. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useGateway } from './support/fixture.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER, SERVER_2 } from './support/topology.ts';

const MIB = 1 << 20;

describe('TCP through the gateway', () => {
  const net = useGateway({
    before: async ({ server }) => {
      await server.http(8000);
      await server.tcpEcho(7);
    },
  });

  it('downloads a big file unaltered', async () => {
    const size = 300 * MIB + 12345;
    const { stdout } = await net.topology.client.shell(`curl -sS http://${SERVER}:8000/${size} | sha256sum`);
    expect(stdout.split(' ')[0]).toBe(await net.server.patternSha256(size));
  });

  it('uploads a big file unaltered', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'natgate-upload-'));
    try {
      const file = join(folder, 'file');
      await net.topology.client.shell(`head -c ${100 * MIB + 321} /dev/urandom > ${file}`);
      const { stdout: sum } = await net.topology.client.exec(`sha256sum ${file}`);
      const { stdout } = await net.topology.client.exec(`curl -sS -T ${file} http://${SERVER}:8000/`);
      expect(stdout).toBe(sum.split(' ')[0]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('carries both directions of one connection at once', async () => {
    const connection = await net.client.connect([SERVER, 7], undefined, 30);
    const data = Buffer.alloc(8 * MIB, 'both ways at once ');
    const [, back] = await Promise.all([connection.send(data), connection.receiveExactly(data.length, 30)]);
    expect(back.equals(data)).toBe(true);
    await connection.close();
  });

  it('serves 200 parallel downloads', async () => {
    const { stdout } = await net.topology.client.exec(
      [
        ...'curl -sS -Z --parallel-immediate --parallel-max 200 -o /dev/null'.split(' '),
        ...['-w', '%{http_code} %{size_download}\\n', `http://${SERVER}:8000/200000?[1-200]`],
      ],
      { timeoutMs: 60_000 },
    );
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(200);
    expect(new Set(lines)).toEqual(new Set(['200 200000']));
  });

  it('keeps 200 connections apart that are open at the same time', async () => {
    const connections = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        net.client.connect([i % 2 ? SERVER : SERVER_2, 7], undefined, 20),
      ),
    );
    const answers = await Promise.all(connections.map((connection, i) => connection.echo(`connection ${i}`)));
    expect(answers).toEqual(connections.map((_, i) => `connection ${i}`));
    await Promise.all(connections.map((connection) => connection.close()));
  });

  it('keeps apart two clients that use the same port', async () => {
    const { client } = net.topology;
    await client.exec('ip addr add 10.77.0.3/24 dev c0');
    const first = await net.client.connect([SERVER, 7], [CLIENT, 45000]);
    const second = await net.client.connect([SERVER, 7], ['10.77.0.3', 45000]);
    expect(await Promise.all([first.echo('the first'), second.echo('the second')])).toEqual([
      'the first',
      'the second',
    ]);
    await Promise.all([first.close(), second.close()]);
    await client.exec('ip addr del 10.77.0.3/24 dev c0');
  });

  it('keeps the source port when it is free', async () => {
    const listener = await net.server.listen(['0.0.0.0', 9100]);
    const connection = await net.client.connect([SERVER, 9100], [CLIENT, 46001]);
    const [, peer] = await listener.accept();
    expect(peer).toEqual([GATEWAY_PUBLIC, 46001]);
    await connection.close();
    await listener.close();
  });

  it('tells the client at once that a port is closed', async () => {
    await expect(net.client.connect([SERVER, 9])).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('carries a half-close: data still comes after the client has finished sending', async () => {
    const listener = await net.server.listen(['0.0.0.0', 9101]);
    const connection = await net.client.connect([SERVER, 9101]);
    const [accepted] = await listener.accept();
    await connection.send(Buffer.from('question'));
    await connection.call('shutdown', 1);
    expect((await accepted.receiveExactly(100)).toString()).toBe('question');
    await accepted.send(Buffer.from('answer after the end'));
    await accepted.close();
    expect((await connection.receiveExactly(100)).toString()).toBe('answer after the end');
    await connection.close();
    await listener.close();
  });

  it('lets a reset through to the client', async () => {
    const listener = await net.server.listen(['0.0.0.0', 9102]);
    const connection = await net.client.connect([SERVER, 9102]);
    const [accepted] = await listener.accept();
    await accepted.option(1, 13 /* SO_LINGER */, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]));
    await accepted.close();
    await expect(connection.receive()).rejects.toMatchObject({ code: 'ECONNRESET' });
    await connection.close();
    await listener.close();
  });

  it('shows the server the public address only', async () => {
    const { stdout } = await net.topology.client.exec(`curl -sS http://${SERVER}:8000/peer`);
    expect(stdout).toBe(GATEWAY_PUBLIC);
    expect(await net.server.httpPeers()).toEqual([GATEWAY_PUBLIC]);
  });
});
