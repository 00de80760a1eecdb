/**
 * What natgate has made on each served interface, while interfaces go and come: one that is gone is forgotten by the journal (and taken back
 * where it only got another name), one that is there again is another interface to the kernel, and gets all anew.
 */
import { isSystemError } from '../../core/errors.ts';
import { isOneArmed } from '../../host/interfaces.ts';
import { applyStep } from '../../host/plan/apply.ts';
import { interfaceSteps } from '../../host/plan/host-plan.ts';
import type { Journal } from '../../host/plan/journal.ts';
import type { Step } from '../../host/plan/step.ts';
import { undoInterface } from '../../host/plan/undo.ts';
import { type HostView, isThere } from './host-follower.ts';

export class ServedInterfaces {
  readonly #journal: Journal;
  #steps: Step[];

  constructor(journal: Journal, view: HostView) {
    this.#journal = journal;
    this.#steps = stepsOf(view);
  }

  /** Of those that are there: what must be so. */
  get steps(): readonly Step[] {
    return this.#steps;
  }

  /** Before programs are attached. Throws what a step throws, when all others are made. */
  follow(view: HostView, before: HostView): void {
    const isOther = view.interfaces.some(({ index }, i) => index !== before.interfaces[i]!.index);
    if (!isOther) return;
    const indexes = new Set(view.interfaces.map(({ index }) => index));
    for (const facts of before.interfaces) {
      if (isThere(facts) && !indexes.has(facts.index)) undoInterface(this.#journal, facts);
    }
    this.#steps = stepsOf(view);
    const errors: unknown[] = [];
    for (const step of this.#steps) {
      try {
        applyStep(step, this.#journal);
      } catch (error) {
        // Gone again meanwhile.
        if (!isSystemError(error, 'ENODEV')) errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

function stepsOf({ interfaces }: HostView): Step[] {
  const outside = interfaces.at(-1)!;
  const distinct = interfaces.filter(
    (facts, i) => isThere(facts) && interfaces.findIndex(({ index }) => index === facts.index) === i,
  );
  const isArm = interfaces.slice(0, -1).some((inside) => isOneArmed(inside, outside));
  return distinct.flatMap(({ name, index }) =>
    interfaceSteps({ name, index }, isArm && index === outside.index),
  );
}
