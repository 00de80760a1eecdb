/**
 * Builds the addon; run by npm's `install`. Does nothing where a prebuilt binary loads.
 *
 * Compiles with the node-gyp that npm carries, against the headers beside the running node where they exist, so
 * that nothing is downloaded. Prints one line when all went well and the compiler's whole output when not.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const prefix = join(dirname(process.execPath), '..');

function prebuildLoads() {
  process.env.PREBUILDS_ONLY = '1';
  try {
    createRequire(import.meta.url)('node-gyp-build')(here);
    return true;
  } catch {
    return false;
  }
}

/** Package managers name their node-gyp in the environment; without one, npm's own is used. */
function nodeGyp() {
  const bundled = join(prefix, 'lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js');
  const script = process.env.npm_config_node_gyp ?? (existsSync(bundled) ? bundled : undefined);
  return script === undefined ? ['node-gyp'] : [process.execPath, script];
}

function build() {
  const [command, ...args] = nodeGyp();
  args.push('rebuild', '-C', here);
  if (existsSync(join(prefix, 'include/node/node_api.h'))) args.push(`--nodedir=${prefix}`);
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) {
    console.log('natgate: native addon built');
    return 0;
  }
  console.error(`${stdout ?? ''}${stderr ?? ''}${error === undefined ? '' : `${error.message}\n`}`);
  console.error('natgate: the native addon could not be built; it needs gcc, make and python3');
  return status ?? 1;
}

if (!prebuildLoads()) process.exitCode = build();
