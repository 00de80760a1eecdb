import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { probeResolver } from '../../../src/host/resolvers/probe.ts';
import { nameServers, systemResolvers } from '../../../src/host/resolvers/resolv-conf.ts';
import { formatAddress, parseAddress } from '../../../src/wire/address.ts';

test.each([
  ['nameserver 192.0.2.1\nnameserver 192.0.2.2 # second\n', ['192.0.2.1', '192.0.2.2'], false],
  ['  nameserver\t192.0.2.1\nnameserver 192.0.2.1\n', ['192.0.2.1'], false],
  ['# nameserver 192.0.2.1\n;nameserver 192.0.2.2\nsearch a.test\n', [], false],
  ['nameserver 127.0.0.53\noptions edns0\n', [], true],
  ['nameserver ::1\nnameserver 2001:db8::1\nnameserver 192.0.2.1\n', ['192.0.2.1'], true],
  ['nameserver 0.0.0.0\n', [], true],
  ['nameserver\nnameserver nonsense\n', [], false],
  ['', [], false],
])('name servers of %j', (text, usable, isOnHost) => {
  const found = nameServers(text);
  expect([found.usable.map(formatAddress), found.isOnHost]).toEqual([usable, isOnHost]);
});

test('a stub on loopback stands for what systemd-resolved has', () => {
  const folder = mkdtempSync(join(tmpdir(), 'natgate-resolv-'));
  const paths = { conf: join(folder, 'a'), resolved: join(folder, 'b') };
  const found = () => systemResolvers(paths).map(formatAddress);
  try {
    expect(found()).toEqual([]);
    writeFileSync(paths.resolved, 'nameserver 192.0.2.9\n');
    // No file at all, or one without a stub, says nothing of systemd-resolved.
    expect(found()).toEqual([]);
    writeFileSync(paths.conf, 'nameserver 127.0.0.53\n');
    expect(found()).toEqual(['192.0.2.9']);
    writeFileSync(paths.conf, 'nameserver 127.0.0.53\nnameserver 192.0.2.1\n');
    expect(found()).toEqual(['192.0.2.1']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** A resolver that gives every query the same response code; null: none. */
async function probed(code: number | null): Promise<boolean> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    if (code === null) return;
    const answer = Buffer.from(query);
    answer.writeUInt16BE(0x8180 | code, 2);
    socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  try {
    return await probeResolver(parseAddress('127.0.0.1')!, 300, socket.address().port);
  } finally {
    socket.close();
  }
}

test.each([
  ['no data', 0, true],
  ['FORMERR', 1, true],
  ['SERVFAIL: it reaches nobody itself', 2, false],
  ['NXDOMAIN', 3, true],
  ['REFUSED: it serves others', 5, true],
  ['silence', null, false],
])('a probe that gets %s', async (_, code, isWell) => {
  expect(await probed(code)).toBe(isWell);
});

test('a probe of a port that nobody has fails at once', async () => {
  expect(await probeResolver(parseAddress('127.0.0.1')!, 300, 9)).toBe(false);
});
