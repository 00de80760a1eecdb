/** Makes the steps of a plan, in order. A gateway applies several plans with one journal as it comes up. */
import { NatgateError } from '../../core/errors.ts';
import type { Journal } from './journal.ts';
import type { Step } from './step.ts';
import { undoJournal } from './undo.ts';

/**
 * Applies the steps. When one fails, everything in the journal is undone, steps of earlier plans included (nothing where another process
 * shares it), and a NatgateError is thrown: the step's own, or `step_failed`. For a step that the journal knows already (it was adopted)
 * the original undo record stays.
 */
export function applyPlan(steps: readonly Step[], journal: Journal): void {
  for (const step of steps) {
    try {
      applyStep(step, journal);
    } catch (error) {
      const reason = asNatgateError(error, step);
      throw journal.isShared ? reason : withUndoFailures(reason, journal);
    }
  }
}

/** One step, of a gateway that runs: when it fails, nothing else is undone. Throws what the step throws. */
export function applyStep(step: Step, journal: Journal): void {
  if (!journal.has(step.name)) {
    const undo = step.prepare();
    if (undo !== null) journal.append(step.name, undo);
  }
  step.apply();
}

function asNatgateError(error: unknown, step: Step): NatgateError {
  if (error instanceof NatgateError) return error;
  return new NatgateError(
    'step_failed',
    `could not set up the host: ${step.name}: ${(error as Error).message}`,
    `by hand it would be: ${step.show}`,
    { cause: error },
  );
}

function withUndoFailures(error: NatgateError, journal: Journal): NatgateError {
  const { name } = journal.header;
  const { failed } = undoJournal(journal.stateRoot, name, journal.header.owner);
  if (failed.length === 0) return error;
  const left = failed.map(({ step, error: reason }) => `${step} (${reason.message})`).join('; ');
  return new NatgateError(
    error.code,
    error.message,
    `${error.hint}; and not all could be undone: ${left}. \`natgate down --name ${name}\` tries again`,
    { cause: error },
  );
}
