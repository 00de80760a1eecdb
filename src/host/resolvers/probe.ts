/** Asks a resolver who answers for the root (NS of `.`), as every resolver must know. */
import { Resolver } from 'node:dns/promises';
import { formatAddress } from '../../wire/address.ts';

/** Answers that say the resolver is at work, though not for this question. */
const AT_WORK = new Set(['ENODATA', 'ENOTFOUND', 'EREFUSED', 'ENOTIMP', 'EFORMERR']);

/**
 * Whether the resolver answers within `timeoutMs`. One that says SERVFAIL is none: it cannot reach whom it would ask.
 * `address` in wire order.
 */
export async function probeResolver(address: number, timeoutMs: number, port = 53): Promise<boolean> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  resolver.setServers([`${formatAddress(address)}:${port}`]);
  // The library's own timeout is a hint: a query may outlast it.
  const late = setTimeout(() => resolver.cancel(), timeoutMs);
  try {
    await resolver.resolveNs('.');
    return true;
  } catch (error) {
    return AT_WORK.has((error as NodeJS.ErrnoException).code ?? '');
  } finally {
    clearTimeout(late);
  }
}
