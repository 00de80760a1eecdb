/** A small soak of the engine: everything that began ends, and gives back what it had. Growth takes longer to see (`npm run soak`). */
import { expect, it } from 'vitest';
import { soakEngine } from './engine-soak.ts';

it('flows begin and end in good order, and nothing is left of them', () => {
  const { books, over } = soakEngine(
    60_000,
    () => {},
    () => {},
  );
  expect(books).toEqual({ started: 60_000, ended: 60_000, left: 0, ports: 0 });
  expect(over).toBe(60_000);
});
