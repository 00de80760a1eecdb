import { expect, test } from 'vitest';
import yargs from 'yargs';
import * as capture from '../../src/cli/capture.ts';
import * as drops from '../../src/cli/drops.ts';
import * as flows from '../../src/cli/flows.ts';
import * as stats from '../../src/cli/stats.ts';
import * as top from '../../src/cli/top.ts';
import * as trace from '../../src/cli/trace.ts';

test.each(Object.entries({ capture, drops, flows, stats, top, trace }))(
  'a letter means one option of %s',
  (_, { builder }) => {
    const parser = yargs([]);
    builder(parser);
    // biome-ignore lint/suspicious/noExplicitAny: yargs has it, its types do not.
    const { alias } = (parser as any).getOptions() as { alias: Record<string, string[]> };
    const letters = Object.values(alias)
      .flat()
      .filter((name) => name.length === 1);
    expect(letters).toEqual([...new Set(letters)]);
  },
);
