/**
 * `npm run native:check [-- --rounds N --seed S]`: the addon under AddressSanitizer and UndefinedBehaviorSanitizer, and its parts without
 * Node under valgrind as well.
 *
 *     1  native/test/writer-check.c with coalesce.c and writer.c, sanitized
 *     2  the same, unsanitized, under valgrind: what is read before it is written, what is not given back
 *     3  the addon, sanitized (native/build-check/), with calls that are nonsense: native/test/hostile.mjs, in a network namespace
 *     4  the tests of test/link with that addon
 *
 * And gcc's static analyser (-fanalyzer) goes over the whole addon; what it finds is an error.
 *
 * gcc brings libasan and libubsan; valgrind is installed where it is missing and this is root. Leaks are looked for by valgrind only: V8
 * gives nothing back at its end.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, 'build-check');
const addon = join(out, 'natgate.node');
const isRoot = process.geteuid?.() === 0;

const { values } = parseArgs({
  options: { rounds: { type: 'string' }, seed: { type: 'string' }, fast: { type: 'boolean' } },
});
const rounds = Number(values.rounds ?? 3000);
const seed = values.seed ?? String(Math.floor(Math.random() * 1e9));

const WARN = ['-std=c11', '-D_GNU_SOURCE', '-DNAPI_VERSION=8', '-Wall', '-Wextra', '-g', '-O1'];
const SANITIZE = [
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=undefined',
  '-fno-omit-frame-pointer',
];

let failed = 0;

/** Runs one step; its output is shown when it fails. */
function step(name, command, args, env = {}) {
  const start = performance.now();
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    cwd: join(here, '..'),
    env: { ...process.env, ...env },
    timeout: 900_000,
    maxBuffer: 1 << 28,
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  if (status === 0) {
    const last = stdout.trim().split('\n').at(-1) ?? '';
    console.log(
      `ok      ${name} (${seconds} s)${last.startsWith('writer-check') || last.startsWith('hostile') ? `: ${last}` : ''}`,
    );
    return true;
  }
  failed++;
  console.log(`FAILED  ${name} (${seconds} s): ${error?.message ?? signal ?? `exit code ${status}`}`);
  console.log(`${stdout ?? ''}${stderr ?? ''}`);
  return false;
}

function library(name) {
  const { stdout } = spawnSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' });
  const path = stdout?.trim() ?? '';
  // gcc answers with the name itself where it has no such file.
  return path.includes('/') && existsSync(path) ? path : null;
}

function requireValgrind() {
  if (spawnSync('valgrind', ['--version']).status === 0) return;
  if (isRoot) {
    spawnSync('apt-get', ['update'], { stdio: 'ignore' });
    spawnSync('apt-get', ['install', '-y', '--no-install-recommends', 'valgrind'], { stdio: 'inherit' });
  }
  if (spawnSync('valgrind', ['--version']).status === 0) return;
  console.error('natgate: valgrind is not installed\n  apt-get install valgrind');
  process.exit(2);
}

const source = (file) => join(here, 'src', file);
const PARTS = [join(here, 'test/writer-check.c'), source('coalesce.c'), source('writer.c')];

requireValgrind();
const libasan = library('libasan.so');
if (libasan === null) {
  console.error('natgate: gcc has no libasan.so here\n  apt-get install gcc g++ (it is in libgcc-*-dev)');
  process.exit(2);
}
mkdirSync(out, { recursive: true });
console.log(`seed ${seed}`);

const sanitized = join(out, 'writer-check-asan');
if (step('build the parts, sanitized', 'gcc', [...WARN, ...SANITIZE, ...PARTS, '-o', sanitized])) {
  step('out lists, sanitized', sanitized, [String(rounds), seed]);
}
const plain = join(out, 'writer-check');
if (step('build the parts', 'gcc', [...WARN, ...PARTS, '-o', plain])) {
  const check = ['-q', '--error-exitcode=9', '--leak-check=full', '--track-origins=yes'];
  step('out lists, valgrind', 'valgrind', [...check, plain, String(Math.ceil(rounds / 20)), seed]);
}

const include = join(dirname(process.execPath), '../include/node');
const sources = readdirSync(join(here, 'src'))
  .filter((file) => file.endsWith('.c'))
  .map(source);
const analysed = [
  '-std=c11',
  '-D_GNU_SOURCE',
  '-DNAPI_VERSION=8',
  '-g',
  '-O1',
  '-fanalyzer',
  '-Werror',
  '-fPIC',
  '-shared',
];
step('the addon, analysed', 'gcc', [
  ...analysed,
  `-I${include}`,
  ...sources,
  '-o',
  join(out, 'analysed.node'),
]);
const build = [...WARN, ...SANITIZE, '-fPIC', '-shared', `-I${include}`, ...sources, '-o', addon];
if (step('build the addon, sanitized', 'gcc', build)) {
  const env = {
    LD_PRELOAD: `${libasan} ${library('libubsan.so') ?? ''}`.trim(),
    // Of V8 nothing can be said; what is not the addon's own is not looked at.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1:abort_on_error=1',
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  };
  const apart = isRoot ? ['unshare', '--net', '--'] : [];
  const [command, ...rest] = [...apart, process.execPath, '--expose-gc'];
  step(
    'the addon called with nonsense',
    command,
    [...rest, join(here, 'test/hostile.mjs'), addon, String(rounds * 10), seed],
    env,
  );
  if (isRoot && values.fast !== true) {
    step(
      'test/link with the sanitized addon',
      process.execPath,
      [
        join(here, '../node_modules/vitest/vitest.mjs'),
        'run',
        '--project',
        'unit',
        'test/link',
        // Forks under a filter that knows nothing of the sanitizer's calls.
        '--exclude',
        'test/link/seccomp.test.ts',
      ],
      {
        ...env,
        NATGATE_ASAN_ADDON: addon,
        NODE_OPTIONS: `--require ${join(here, 'test/asan-preload.cjs')}`,
      },
    );
  }
}
process.exitCode = failed === 0 ? 0 : 1;
