import { addon } from '../../link/addon.ts';
import { OWNED_BYTES } from '../../nat/owned.ts';
import { MAP_MMAPABLE, MAP_TYPE_ARRAY } from '../ebpf/kernel.ts';

/**
 * Creates an empty owned bitmap (nat/owned.ts) that the steering programs can read and returns the descriptor of
 * its map. Who holds it, privileged or not, writes it through `addon().mmap(fd, OWNED_BYTES, true)`; the kernel
 * rounds both sizes up to whole pages.
 */
export function createOwnedMap(): number {
  return addon().bpfMapCreate(MAP_TYPE_ARRAY, 4, OWNED_BYTES, 1, MAP_MMAPABLE, 'ng_owned');
}
