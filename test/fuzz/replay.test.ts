/** Sequences that once broke something, or that might: test/corpus/crashes, each against the configuration it names. */
import { expect, test } from 'vitest';
import { configurations } from './configurations.ts';
import { replay } from './minimise.ts';
import { CRASHES, crashFiles, readCrash } from './steps.ts';

test.each(crashFiles())('%s', (file) => {
  const { configuration, steps } = readCrash(new URL(file, CRASHES));
  const found = configurations.find(({ name }) => name === configuration);
  expect(found, `configuration ${configuration}`).toBeDefined();
  expect(steps.length).toBeGreaterThan(0);
  const failure = replay(found!, steps);
  if (failure !== null) throw failure;
});
