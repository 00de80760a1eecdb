/** A small soak of a real gateway; `npm run soak` is the long one. */
import { expect, it } from 'vitest';
import { soakGateway } from '../soak/gateway-soak.ts';
import { table } from '../soak/soak.ts';
import { natgateOnly } from './support/gateway.ts';

natgateOnly('a soak', () => {
  it('leaves no flow, no port and no descriptor behind', { timeout: 240_000 }, async () => {
    const result = await soakGateway(60_000, 6000, [], () => {});
    console.log(table(result));
    const { books, growth } = result;
    expect(books).toMatchObject({ ended: books.started, left: 0, ports: 0 });
    expect(books.started).toBeGreaterThan(10_000);
    expect(growth['descriptors']?.grows).toBe(false);
  });
});
