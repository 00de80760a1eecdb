import type { Document } from './requirement.ts';
import { rfc3022 } from './rfc-3022.ts';
import { rfc4787 } from './rfc-4787.ts';
import { rfc5382 } from './rfc-5382.ts';
import { rfc5508 } from './rfc-5508.ts';
import { rfc6888 } from './rfc-6888.ts';
import { rfc7857 } from './rfc-7857.ts';

export const documents: readonly Document[] = [rfc4787, rfc5382, rfc5508, rfc7857, rfc6888, rfc3022];
