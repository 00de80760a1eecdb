/**
 * Before the namespace tests: root, the programs they use, and an up-to-date dist/. After them: nothing is left.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureTools, type Tool } from '../../src/cli/lab/tools.ts';
import { NatgateError } from '../../src/core/errors.ts';
import { contender, MAIN } from './support/contender.ts';
import { removeStale } from './support/topology.ts';

const TOOLS: readonly Tool[] = [
  { binary: 'ip', package: 'iproute2' },
  { binary: 'tc', package: 'iproute2' },
  { binary: 'sysctl', package: 'procps' },
  { binary: 'python3', package: 'python3' },
  { binary: 'curl', package: 'curl' },
  { binary: 'ping', package: 'iputils-ping' },
  { binary: 'traceroute', package: 'traceroute' },
  { binary: 'dig', package: 'bind9-dnsutils' },
  { binary: 'dnsmasq', package: 'dnsmasq-base' },
  { binary: 'iptables', package: 'iptables' },
  { binary: 'nft', package: 'nftables' },
  { binary: 'tcpdump', package: 'tcpdump' },
  { binary: 'tshark', package: 'tshark' },
  { binary: 'ethtool', package: 'ethtool' },
  { binary: 'iperf3', package: 'iperf3' },
  { binary: 'vsftpd', package: 'vsftpd' },
  { binary: 'in.tftpd', package: 'tftpd-hpa' },
  { binary: 'tftp', package: 'tftp-hpa' },
  { binary: 'sipp', package: 'sip-tester' },
  { binary: 'conntrack', package: 'conntrack' },
  { binary: 'chromium', package: 'chromium' },
  { binary: 'turnutils_natdiscovery', package: 'coturn' },
  { binary: 'promtool', package: 'prometheus' },
];

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const log = (line: string) => console.log(`namespace tests: ${line}`);

export default function setup(): () => void {
  if (process.geteuid?.() !== 0) {
    throw new NatgateError(
      'not_root',
      'the namespace tests need root, to make network namespaces',
      'run `sudo npm test`, or only the unit tests: npx vitest run --project unit',
    );
  }
  ensureTools(TOOLS, log);
  if (contender === 'natgate') buildIfStale();
  removeStale();
  process.env['NATGATE_TEST_RUN'] = String(process.pid);
  const cleanUp = () => removeStale(process.pid);
  process.on('exit', cleanUp); // also after Ctrl-C, which the test runner turns into an exit
  return cleanUp;
}

/** The tests run what users run: dist/. */
function buildIfStale(): void {
  if (existsSync(MAIN) && statSync(MAIN).mtimeMs > newest(join(ROOT, 'src'))) return;
  log('building dist/');
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdio: 'inherit' });
}

function newest(folder: string): number {
  let latest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) latest = Math.max(latest, statSync(join(entry.parentPath, entry.name)).mtimeMs);
  }
  return latest;
}
