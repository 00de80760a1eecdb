/**
 * Runs inside.ts in a network namespace of its own, named like those of the tests, so that they remove what a killed
 * run has left. It goes when the run ends, by itself or by a signal.
 */
import { execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Namespace, PREFIX, removeNamespaces } from '../netns/support/topology.ts';

const INSIDE = fileURLToPath(new URL('inside.ts', import.meta.url));
let made = 0;

export interface InsideOptions {
  /** Which inside.ts, by default the one beside this file. */
  inside?: string;
  quiet?: boolean;
  /** A second, empty namespace is made, and the run is told of it by `--namespace`. */
  second?: boolean;
}

/** Returns the exit status and what it printed. */
export async function runInside(
  args: readonly string[],
  options: InsideOptions = {},
): Promise<{ code: number; output: string }> {
  const name = `${PREFIX}${process.env['NATGATE_TEST_RUN'] ?? process.pid}-${process.pid}d${++made}`;
  const namespace = new Namespace(name);
  const names = [name, ...(options.second ? [`${name}s`] : [])];
  const more = options.second ? ['--namespace', `${name}s`] : [];
  const remove = () => removeNamespaces(names);
  process.on('exit', remove);
  for (const each of names) execFileSync('ip', ['netns', 'add', each]);
  try {
    const argv = namespace.argv([
      process.execPath,
      '--import',
      'tsx',
      options.inside ?? INSIDE,
      ...args,
      ...more,
    ]);
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
