/** A change of the host that can be shown, made and taken back. */
import type { UndoRecord } from './undo-records.ts';

export interface Step {
  /** Unique within a plan; names the step in the journal and in reports. */
  readonly name: string;
  /** A command line that does the same, as a person would type it. */
  readonly show: string;
  /** Looks at the host and says what will take the step back; null: nothing needs to. Changes nothing. */
  prepare(): UndoRecord | null;
  /** Makes the change. Doing it again where it is already made changes nothing. */
  apply(): void;
  /** What somebody else has made of it since, in words that follow the name of what it is about; null: it is as it was made. */
  check(): string | null;
}

/** The plan as command lines, in order. */
export function describePlan(steps: readonly Step[]): string[] {
  return steps.map((step) => step.show);
}
