/** The child of namespace.ts: runs scenario argv[3] of module argv[2] and writes its result, JSON, to descriptor 3. */
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

for (const [tool, debianPackage] of [
  ['ip', 'iproute2'],
  ['python3', 'python3'],
] as const) {
  if (!process.env['PATH']!.split(':').some((folder) => existsSync(join(folder, tool))))
    throw new Error(`${tool} is missing: apt-get install -y --no-install-recommends ${debianPackage}`);
}
execFileSync('ip', ['link', 'set', 'lo', 'up']);
// Otherwise the kernel adds packets of its own (router solicitation, multicast listener reports).
for (const scope of ['all', 'default']) {
  const sysctl = `/proc/sys/net/ipv6/conf/${scope}/disable_ipv6`;
  if (existsSync(sysctl)) writeFileSync(sysctl, '1');
}

const [, , module, name] = process.argv as [string, string, string, string];
const scenarios = (await import(pathToFileURL(module).href)) as Record<string, () => unknown>;
const scenario = scenarios[name];
if (scenario === undefined) throw new Error(`no scenario ${name} in ${module}`);
const text = JSON.stringify((await scenario()) ?? null);
for (let written = 0; written < text.length; ) written += writeSync(3, text.slice(written));
process.exit(0);
