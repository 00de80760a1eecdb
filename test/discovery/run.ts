/**
 * `npm run nat-discovery`: what coturn's `turnutils_natdiscovery` finds of a gateway in network namespaces, for every
 * mapping and filtering that can be configured. Exit status: 0 when all verdicts are what was configured, else 1.
 */

import { ensureTools } from '../../src/cli/lab/tools.ts';
import { NatgateError } from '../../src/core/errors.ts';
import {
  discoverPair,
  FILTERINGS,
  type Filtering,
  inParallel,
  MAPPINGS,
  type Mapping,
} from '../netns/support/nat-discovery.ts';
import { removeStale } from '../netns/support/topology.ts';

const WIDTH = 3;

async function main(): Promise<number> {
  if (process.geteuid?.() !== 0) {
    throw new NatgateError('not_root', 'network namespaces need root', 'sudo npm run nat-discovery');
  }
  ensureTools(
    [
      { binary: 'ip', package: 'iproute2' },
      { binary: 'sysctl', package: 'procps' },
      { binary: 'turnutils_natdiscovery', package: 'coturn' },
    ],
    (line) => console.error(line),
  );
  removeStale();
  const mappings = Object.keys(MAPPINGS) as Mapping[];
  const filterings = Object.keys(FILTERINGS) as Filtering[];
  const pairs = mappings.flatMap((mapping) => filterings.map((filtering) => ({ mapping, filtering })));
  let wrong = 0;
  const cells = await inParallel(pairs, WIDTH, async ({ mapping, filtering }) => {
    const found = await discoverPair(mapping, filtering);
    const isRight = found.mapping === MAPPINGS[mapping] && found.filtering === FILTERINGS[filtering];
    if (!isRight) wrong++;
    return [
      `--mapping ${mapping}`,
      `--filtering ${filtering}`,
      found.mapping ?? 'no verdict',
      found.filtering ?? 'no verdict',
      isRight ? 'as configured' : 'WRONG',
    ];
  });
  const rows = [['configured', '', 'mapping found', 'filtering found', ''], ...cells];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    console.log(
      row
        .map((text, i) => text.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    );
  }
  console.log(`${pairs.length - wrong} of ${pairs.length} as configured`);
  return wrong === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof NatgateError)) throw error;
  console.error(`nat-discovery: ${error.message}`);
  process.exitCode = 1;
}
