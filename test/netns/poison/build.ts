/** A copy of the build in a folder of its own, with the worker of worker.ts: nothing of it is in dist/. */
import { cpSync, mkdtempSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Returns the folder and the program in it. Who calls it removes the folder. */
export async function poisonedBuild(): Promise<{ folder: string; main: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'natgate-poison-'));
  cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
  for (const name of ['native', 'node_modules', 'package.json']) {
    symlinkSync(join(ROOT, name), join(folder, name));
  }
  await build({
    entryPoints: [fileURLToPath(new URL('./worker.ts', import.meta.url))],
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
    outfile: join(folder, 'dist/gateway/engines/worker.js'),
    allowOverwrite: true,
  });
  return { folder, main: join(folder, 'dist/cli/main.js') };
}
