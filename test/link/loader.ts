/** Where a worker thread, which has no loader of TypeScript, finds the addon. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

export const LOADER = {
  loader: createRequire(import.meta.url).resolve('node-gyp-build'),
  native: fileURLToPath(new URL('../../native', import.meta.url)),
};
