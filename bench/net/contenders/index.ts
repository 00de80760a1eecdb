import type { Contender } from '../types.ts';
import { kernel } from './kernel.ts';
import { natgate } from './natgate.ts';
import { nullC, nullTs } from './null/null.ts';
import { pasta } from './pasta.ts';
import { rawSocket } from './raw-socket.ts';
import { slirp4netns1500, slirp4netns65520 } from './slirp4netns.ts';

/** What every figure is compared with. */
export const REFERENCE = kernel.name;

/** In the order of the table. */
export const contenders: readonly Contender[] = [
  natgate,
  kernel,
  nullC,
  nullTs,
  slirp4netns65520,
  slirp4netns1500,
  pasta,
  rawSocket,
];
