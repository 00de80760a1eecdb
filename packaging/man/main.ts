/** Prints natgate(1), for man: `tsx packaging/man/main.ts dist/cli/main.js | gzip -9n > natgate.1.gz`. */
import { manualPage } from './page.ts';

process.stdout.write(manualPage([process.execPath, process.argv[2] ?? 'dist/cli/main.js']));
