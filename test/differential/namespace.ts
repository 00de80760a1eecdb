/**
 * Runs inside.ts in a network namespace of its own, named like those of the tests, so that they remove what a killed
 * run has left. It goes when the run ends, by itself or by a signal.
 */
import { execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Namespace, PREFIX, removeNamespaces } from '../netns/support/topology.ts';

const INSIDE = fileURLToPath(new URL('inside.ts', import.meta.url));
let made = 0;

/** `inside`: which inside.ts, by default the one beside this file. Returns the exit status and what it printed. */
export async function runInside(
  args: readonly string[],
  options: { inside?: string; quiet?: boolean } = {},
): Promise<{ code: number; output: string }> {
  const name = `${PREFIX}${process.env['NATGATE_TEST_RUN'] ?? process.pid}-${process.pid}d${++made}`;
  const namespace = new Namespace(name);
  const remove = () => removeNamespaces([name]);
  process.on('exit', remove);
  execFileSync('ip', ['netns', 'add', name]);
  try {
    const argv = namespace.argv([process.execPath, '--import', 'tsx', options.inside ?? INSIDE, ...args]);
    const child = spawn(argv[0]!, argv.slice(1), {
      stdio: ['ignore', options.quiet ? 'pipe' : 'inherit', options.quiet ? 'pipe' : 'inherit'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const code = await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status) => resolve(status ?? 1));
    });
    return { code, output };
  } finally {
    process.off('exit', remove);
    remove();
  }
}
