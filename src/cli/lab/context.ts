import type { Children } from './children.ts';
import type { LabTopology } from './topology.ts';

/** What every step needs. */
export interface Lab {
  /** Of the gateway, for `--name`. */
  name: string;
  size: number;
  topology: LabTopology;
  children: Children;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
  tell: (heading: string, text: string) => void;
}
