/** A row of docs/rfc-coverage.md. */
export type Level = 'MUST' | 'MUST NOT' | 'SHOULD' | 'SHOULD NOT' | 'RECOMMENDED' | 'MAY' | '–';

/**
 * Whether natgate does it:
 *
 *     yes       with its defaults, or, where the requirement is that something can be had, when asked
 *     reserved  with its defaults up to a point that `how` names, without reserve by the option that it names
 *     no        not, and `how` says why
 *     outside   the requirement is about something that natgate is not; `how` says what that means for whoever is it
 */
export type Met = 'yes' | 'reserved' | 'no' | 'outside';

/** [file below test/, title of the test: its own, or with those of its describes before it, joined by ` › `] */
export type TestReference = readonly [file: string, title: string];

export interface Requirement {
  id: string;
  level: Level;
  content: string;
  met: Met;
  how: string;
  tests: readonly TestReference[];
}

export interface Document {
  rfc: number;
  title: string;
  requirements: readonly Requirement[];
}

export function row(
  id: string,
  level: Level,
  content: string,
  met: Met,
  how: string,
  ...tests: readonly TestReference[]
): Requirement {
  return { id, level, content, met, how, tests };
}
