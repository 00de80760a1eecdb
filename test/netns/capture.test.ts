/**
 * `natgate capture` of a download, as others read it: tshark (both sides, comments, nothing malformed) and tcpdump; by filter, side, flow and drop.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MAIN } from './support/contender.ts';
import { useGateway } from './support/fixture.ts';
import { natgateOnly } from './support/gateway.ts';
import type { Natgate } from './support/natgate.ts';
import { run } from './support/process.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER } from './support/topology.ts';

const SIZE = 3_000_000;
const folder = mkdtempSync(join(tmpdir(), 'ngtest-capture-'));
afterAll(() => rmSync(folder, { recursive: true }));

natgateOnly('captures', () => {
  const net = useGateway();
  const natgate = () => net.gateway as Natgate;
  const which = () => ['--name', natgate().name, '--state-root', natgate().ns.stateRoot];
  const tshark = async (file: string, ...args: string[]) =>
    (await run(['tshark', '-n', '-r', file, ...args])).stdout.split('\n').filter(Boolean);

  beforeAll(async () => {
    await net.server.http(8000);
    await net.server.http(8001);
  });

  /** A capture while `during` runs. */
  async function capture(
    name: string,
    args: readonly string[],
    during: () => Promise<unknown>,
  ): Promise<string> {
    const file = join(folder, name);
    const { ns } = natgate();
    const capturing = ns.spawn([process.execPath, MAIN, 'capture', ...which(), '-w', file, ...args]);
    await capturing.shows(/capturing/, 10_000);
    await during();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await capturing.stop('SIGINT')).toBe(0);
    return file;
  }
  const download = (port: number) =>
    net.topology.client.exec([
      'curl',
      '-sS',
      '--max-time',
      '30',
      '-o',
      '/dev/null',
      `http://${SERVER}:${port}/${SIZE}`,
    ]);

  it('of a download is whole on both sides, each packet with its flow, and nothing in it is malformed', async () => {
    const file = await capture('whole.pcapng', ['port 8000'], async () => {
      await download(8000);
      // Not asked for.
      await download(8001);
    });
    const rows = (
      await tshark(
        file,
        '-T',
        'fields',
        '-E',
        'separator=|',
        '-e',
        'frame.interface_name',
        '-e',
        'ip.src',
        '-e',
        'ip.dst',
        '-e',
        'tcp.len',
        '-e',
        'tcp.port',
        '-e',
        'frame.comment',
      )
    ).map((line) => line.split('|'));
    expect(rows.length).toBeGreaterThan(10);
    const bytes = { g0: 0, g1: 0 };
    for (const [device, source, destination, length, ports, comment] of rows) {
      expect(ports!.split(',')).toContain('8000');
      const ends = [source, destination].sort();
      expect(ends).toEqual([SERVER, device === 'g0' ? CLIENT : GATEWAY_PUBLIC].sort());
      expect(comment).toMatch(/^flow \d+\.\d+\.\d+, \S+ -> \S+$/);
      if (source === SERVER) bytes[device as 'g0' | 'g1'] += Number(length);
    }
    expect(bytes.g0).toBeGreaterThan(SIZE);
    expect(bytes.g0).toBe(bytes.g1);
    expect(
      await tshark(
        file,
        '-Y',
        '_ws.malformed || ip.checksum.status == "Bad"',
        '-o',
        'ip.check_checksum:TRUE',
      ),
    ).toEqual([]);
    const dump = await run(['tcpdump', '-nr', file]);
    expect(dump.stdout.split('\n').filter(Boolean)).toHaveLength(rows.length);
  });

  it('of one side, of so many packets, of so many bytes of each', async () => {
    const file = join(folder, 'few.pcapng');
    const args = ['-w', file, '--side', 'public', '-c', '5', '--snaplen', '60'];
    const few = natgate().ns.spawn([process.execPath, MAIN, 'capture', ...which(), ...args]);
    await few.shows(/capturing/, 10_000);
    await download(8000);
    expect(await few.ended).toBe(0);
    const rows = await tshark(file, '-T', 'fields', '-e', 'frame.interface_name', '-e', 'frame.cap_len');
    expect(rows).toHaveLength(5);
    for (const row of rows) {
      const [device, length] = row.split('\t');
      expect([device, Number(length) <= 60]).toEqual(['g1', true]);
    }
  });

  it('of what was dropped, with the reason', async () => {
    const file = await capture('dropped.pcapng', ['--dropped'], async () => {
      const outside = await net.server.udp();
      await outside.sendTo(Buffer.from('nobody asked'), [GATEWAY_PUBLIC, 60_000]);
      await outside.close();
      await download(8000);
    });
    const rows = await tshark(file, '-T', 'fields', '-e', 'udp.dstport', '-e', 'frame.comment');
    expect(rows).toEqual([expect.stringMatching(/^60000\tdropped: no_flow: /)]);
  });

  it('goes through a pipe into tcpdump, and is no text for a terminal', async () => {
    const { ns } = natgate();
    const line = `${process.execPath} ${MAIN} capture ${which().join(' ')} -w - -c 4 'port 8000' | tcpdump -nr -`;
    const piped = ns.spawn(['sh', '-c', line]);
    await piped.shows(/capturing/, 10_000);
    await download(8000);
    expect(await piped.ended).toBe(0);
    expect(piped.stdout.split('\n').filter(Boolean)).toHaveLength(4);
  });
});
