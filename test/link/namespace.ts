/**
 * Runs a function in a network namespace of its own: a child process under `unshare --net`, which takes the
 * namespace and every device in it along when it ends, however it ends.
 *
 * A scenario is an exported function without arguments whose result survives JSON; the test that asks for it
 * checks the result.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHILD = fileURLToPath(new URL('namespace-child.ts', import.meta.url));

type Result<F> = F extends (...args: never[]) => infer R ? Awaited<R> : never;

export function namespaceRunner<Scenarios>(
  module: URL,
): <Name extends keyof Scenarios & string>(name: Name) => Promise<Result<Scenarios[Name]>> {
  return (name) => runScenario(fileURLToPath(module), name);
}

function runScenario<T>(module: string, name: string): Promise<T> {
  if (process.geteuid?.() !== 0) {
    throw new Error('this test makes a network namespace, which needs root: run `sudo npm test`');
  }
  return new Promise((resolve, reject) => {
    const child = spawn(
      'unshare',
      ['--net', '--', process.execPath, '--expose-gc', '--import', 'tsx', CHILD, module, name],
      { cwd: ROOT, stdio: ['ignore', 'inherit', 'pipe', 'pipe'], timeout: 50_000, killSignal: 'SIGKILL' },
    );
    let errors = '';
    let result = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    child.stdio[3]!.on('data', (bytes: Buffer) => {
      result += bytes.toString();
    });
    child.on('error', (cause) => {
      const hint = 'apt-get install -y --no-install-recommends util-linux';
      reject(new Error(`unshare is missing: ${hint}`, { cause }));
    });
    child.on('close', (code, signal) => {
      if (code === 0 && result !== '') resolve(JSON.parse(result) as T);
      else reject(new Error(`scenario ${name} ended with ${signal ?? `code ${code}`}\n${errors}`));
    });
  });
}
