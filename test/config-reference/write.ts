/** `npm run docs:config` */
import { readFileSync, writeFileSync } from 'node:fs';
import { schemaText, withReference } from './page.ts';

const page = new URL('../../docs/configuration.md', import.meta.url);
writeFileSync(page, withReference(readFileSync(page, 'utf8')));
writeFileSync(new URL('../../docs/natgate.schema.json', import.meta.url), schemaText());
