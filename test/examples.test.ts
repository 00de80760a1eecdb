/**
 * The examples run as a reader would run them, and print what they should. They import the package by its name, so
 * it is built first, to a directory of its own: what is in dist/ may be older than src/.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'natgate-examples-'));

beforeAll(() => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', join(directory, 'dist')], {
    cwd: root,
  });
  for (const part of ['package.json', 'examples']) {
    cpSync(join(root, part), join(directory, part), { recursive: true });
  }
}, 60_000);

afterAll(() => rmSync(directory, { recursive: true }));

function run(example: string): string {
  const tsx = import.meta.resolve('tsx');
  return execFileSync(process.execPath, ['--import', tsx, `examples/${example}`], {
    cwd: directory,
    encoding: 'utf8',
  });
}

test('track-packets', () => {
  expect(run('track-packets.ts')).toMatchInlineSnapshot(`
    "SYN         NEW          original, SYN_SENT, forgotten in 120 s
    SYN, ACK    ESTABLISHED  reply, SYN_RECV, forgotten in 60 s
    ACK         ESTABLISHED  original, ESTABLISHED, forgotten in 432000 s
    DNS query   NEW          original, forgotten in 30 s
    stray       INVALID      because: invalid_tcp
    four bytes  INVALID      because: short_packet

    after a second: 2 flow(s)
      10.77.0.2:40000 > 198.18.0.2:80  ESTABLISHED  [ASSURED]  432000 s left
      10.77.0.2:40000 > 198.18.0.2:53  30 s left

    after a day: 1 flow(s)
      10.77.0.2:40000 > 198.18.0.2:80  ESTABLISHED  [ASSURED]  345601 s left

    after six days: 0 flow(s)
    "
  `);
});

test('gateway-in-memory', () => {
  expect(run('gateway-in-memory.ts')).toMatchInlineSnapshot(`
    "
    Two clients with the same port ask the same server
      public: udp 198.18.0.1:40000 > 203.0.113.9:53 ttl 63 length 36
      public: udp 198.18.0.1:36880 > 203.0.113.9:53 ttl 63 length 36

    Each gets its own answer
      private: udp 203.0.113.9:53 > 10.77.0.2:40000 ttl 63 length 34
      private: udp 203.0.113.9:53 > 10.77.0.3:40000 ttl 63 length 34

    Somebody else tries the open port
      private: nothing

    A router out there cannot deliver: the client learns about it, in its own terms
      private: icmp 3/1 192.0.2.1 > 10.77.0.2 [udp 10.77.0.2:40000 > 203.0.113.9:53 ttl 63 length 36] ttl 63 length 64

    A traceroute sees the gateway
      private: icmp 11/0 10.77.0.1 > 10.77.0.2 [udp 10.77.0.2:40001 > 203.0.113.9:33434 ttl 1 length 28] ttl 64 length 56

    Two minutes pass in one line
      2 flow(s)
      0 flow(s)

    What was dropped, and why
      1 filtered
      1 ttl_exceeded
    "
  `);
});

test('hole-punching', () => {
  expect(run('hole-punching.ts').replaceAll(/ +$/gm, '')).toMatchInlineSnapshot(`
    "                      full cone             restricted cone       port-restricted cone  symmetric             carrier-grade
    full cone             yes                   yes                   yes                   yes                   yes
    restricted cone       yes                   yes                   yes                   yes                   yes
    port-restricted cone  yes                   yes                   yes                   -                     yes
    symmetric             yes                   yes                   -                     -                     yes
    carrier-grade         yes                   yes                   yes                   yes                   yes
    "
  `);
});
