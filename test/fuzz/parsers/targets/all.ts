/** Every parser that is fuzzed. */
import type { Target } from '../target.ts';
import { helpers } from './alg.ts';
import { control } from './control.ts';
import { memories } from './memory.ts';
import { texts } from './text.ts';
import { packet } from './wire.ts';

export const targets: readonly Target[] = [packet, ...helpers, ...texts, control, ...memories];
