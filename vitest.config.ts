import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const CORES = availableParallelism();

/**
 * Two projects, one after the other. `unit` needs nothing but node and the addon; `netns` makes network namespaces, so it needs
 * root and Debian packages, which test/netns/setup.ts installs or names. Its files wait more than they compute, and each has
 * namespaces and a state root of its own: twice as many run at a time as there are cores.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/netns/**'],
          testTimeout: 60_000,
          maxWorkers: CORES,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'netns',
          include: ['test/netns/**/*.test.ts'],
          globalSetup: ['test/netns/setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: Math.min(2 * CORES, 8),
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
