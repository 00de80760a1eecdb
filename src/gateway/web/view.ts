/** What the parts of the page have in common. */
import type { Status } from './api.ts';
import type { Rates } from './live.ts';

export interface View {
  title: string;
  elements: HTMLElement[];
  /** About once a second. */
  onRates?(rates: Rates): void;
  /** The colours are others now. */
  onTheme?(): void;
  close?(): void;
}

export interface Context {
  status: Status;
  /** Calls `step` at once and then each time that so many ms have passed since it was done. Returns what ends it. */
  every(ms: number, step: () => Promise<void>): () => void;
}
