#!/usr/bin/env node
/** The program. It loads the rest itself, so that a failure to do so is a failure like others, and no exception that nobody caught. */
import { errorText, exitCodeOf } from './exit.ts';

try {
  await import('./commands.ts');
} catch (error) {
  process.stderr.write(errorText(error, process.argv.includes('--debug')));
  process.exitCode = exitCodeOf(error);
}
