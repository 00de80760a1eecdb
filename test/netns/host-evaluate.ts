/** Runs a piece of natgate's host code inside a network namespace, as a process of its own. */
import { Background, run, until } from './support/process.ts';
import type { Namespace } from './support/topology.ts';

const HOST = new URL('../../src/host/', import.meta.url).href;
const TSX = import.meta.resolve('tsx');

/** What `body` finds: the modules of src/host by name, `print` for one line of JSON, and `addon`. */
const PRELUDE = `
  const load = (path) => import(${JSON.stringify(HOST)} + path + '.ts');
  const { addon } = await load('../link/addon');
  const print = (value) => process.stdout.write(JSON.stringify(value) + '\\n');
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
`;

function argv(ns: Namespace, body: string): string[] {
  return ns.argv([process.execPath, '--import', TSX, '--input-type=module', '-e', PRELUDE + body]);
}

/** Runs JavaScript inside and returns the last line it prints, read as JSON. Rejects when it throws. */
export async function evaluate<T>(ns: Namespace, body: string, env: Record<string, string> = {}): Promise<T> {
  const { stdout } = await run(argv(ns, body), { env });
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as T;
}

/** Runs JavaScript inside that goes on beside the test. */
export function start(ns: Namespace, body: string): Background {
  return new Background(argv(ns, body));
}

/** The lines a background process has printed so far, read as JSON. */
export function printed<T>(process: Background): T[] {
  return process.stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T);
}

/** A link comes up a moment after it was told to, and gets its IPv6 address then: not while a test compares. */
export async function settled(ns: Namespace, devices: readonly string[]): Promise<void> {
  for (const device of devices) {
    await until(
      `${device} is up`,
      async () => (await ns.exec(`ip -6 addr show ${device} scope link`)).stdout,
    );
  }
}
