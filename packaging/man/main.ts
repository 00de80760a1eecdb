/**
 * Prints natgate(1) or natgate.yaml(5), for man:
 *
 *     tsx packaging/man/main.ts natgate.1 [dist/cli/main.js] | gzip -9n > natgate.1.gz
 *     tsx packaging/man/main.ts natgate.yaml.5 | gzip -9n > natgate.yaml.5.gz
 */
import { configPage } from './config-page.ts';
import { manualPage } from './page.ts';

const [page, main = 'dist/cli/main.js'] = process.argv.slice(2);
if (page === 'natgate.1') process.stdout.write(manualPage([process.execPath, main]));
else if (page === 'natgate.yaml.5') process.stdout.write(configPage());
else throw new Error(`there is no page ${page}: natgate.1 or natgate.yaml.5`);
