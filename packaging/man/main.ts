/** Prints natgate(1), for man: `tsx packaging/man/main.ts | gzip -9n > natgate.1.gz`. */
import { manualPage } from './page.ts';

process.stdout.write(manualPage());
