/** Out lists written under a kernel that refuses UDP super-packets: in a child with no-uso.c preloaded. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Entry } from './out-file.ts';
import type { Segment } from './segments.ts';

export interface Outcome {
  /** What device 0 got. */
  written: Segment[];
  control: { superPackets: number; coalesced: number; refused: number };
}

export function onOldKernel(lists: readonly (readonly Entry[])[]): Outcome {
  const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'natgate-no-uso-'));
  try {
    const library = join(folder, 'no-uso.so');
    execFileSync('gcc', ['-O2', '-shared', '-fPIC', '-o', library, path('no-uso.c'), '-ldl']);
    const answer = execFileSync(process.execPath, ['--import', 'tsx', path('old-kernel-child.ts')], {
      input: JSON.stringify(
        lists.map((list) => list.map(({ packet, ...rest }) => ({ ...rest, packet: packet.toString('hex') }))),
      ),
      env: { ...process.env, LD_PRELOAD: [process.env['LD_PRELOAD'], library].filter(Boolean).join(':') },
      encoding: 'utf8',
    });
    const { written, control } = JSON.parse(answer) as {
      written: { packet: string; vnet: Segment['vnet'] }[];
    } & Outcome;
    return {
      written: written.map((it) => ({ vnet: it.vnet, packet: Buffer.from(it.packet, 'hex') })),
      control,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
