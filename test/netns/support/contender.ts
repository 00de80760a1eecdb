import { fileURLToPath } from 'node:url';

/**
 * What stands between client and server. `natgate` is what the suite is about; `kernel`, the recipe of sysctl and
 * iptables that natgate replaces, shows that a test asks for nothing that a NAT gateway does not do:
 *
 *     NATGATE_TEST_CONTENDER=kernel npx vitest run --project netns
 */
export type Contender = 'kernel' | 'natgate';

export const contender: Contender = process.env['NATGATE_TEST_CONTENDER'] === 'kernel' ? 'kernel' : 'natgate';

/** The command line as users run it. */
export const MAIN = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
