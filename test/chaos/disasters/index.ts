/** All disasters, by the order of their names in reports. */
import type { Disaster } from './disaster.ts';
import * as host from './host.ts';
import * as meddling from './meddling.ts';
import * as processes from './processes.ts';
import * as traffic from './traffic.ts';

export const disasters: readonly Disaster[] = [
  ...Object.values(processes),
  ...Object.values(host),
  ...Object.values(meddling),
  ...Object.values(traffic),
];
