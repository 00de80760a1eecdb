/** `npm run docs:rfc` */
import { writeFileSync } from 'node:fs';
import { documents } from './documents.ts';
import { coveragePage } from './page.ts';

writeFileSync(new URL('../../docs/rfc-coverage.md', import.meta.url), coveragePage(documents));
