/** `natgate trace` of a running gateway. */
import { NatgateError } from '../../core/errors.ts';
import type { Filter } from '../../gateway/observe/filter.ts';

export async function traceLive(
  _which: { name: string; stateRoot: string },
  _filter: Filter,
  _options: { json: boolean; count: number | null },
): Promise<void> {
  throw new NatgateError('not_running', 'no control socket');
}
