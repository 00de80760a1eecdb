/** What an engine could not take over from the one before, and how it is said. */

/** Flows by why they were lost. */
export interface FlowLosses {
  /** Being written when their engine died. */
  torn: number;
  /** Not as they were written. */
  damaged: number;
  /** Two had one tuple. */
  twice: number;
  /** Their external address, rule, forward or port is not there any more. */
  gone: number;
}

export interface FragmentLosses {
  /** Fragments that waited for the first one of their datagram. */
  held: number;
  /** Datagrams in flight whose entry was torn or damaged, or whose flow was lost: what is left of them will not pass. */
  datagrams: number;
}

export function flowsLost({ torn, damaged, twice, gone }: FlowLosses): number {
  return torn + damaged + twice + gone;
}

/** Says it, in one line. `helped`: flows of which what a helper knew is lost (helper-journal.ts). */
export function sayLosses(
  log: ((line: string) => void) | undefined,
  lost: FlowLosses,
  { held, datagrams }: FragmentLosses,
  helped: number,
): void {
  const flows = flowsLost(lost);
  const causes: [number, string][] = [
    [lost.torn, 'half written'],
    [lost.damaged, 'damaged'],
    [lost.twice, 'with the tuple of another'],
    [lost.gone, 'whose address, rule or port is gone'],
  ];
  const reasons = causes.filter(([count]) => count > 0).map(([count, cause]) => `${count} ${cause}`);
  const parts = flows === 0 ? [] : [`${counted(flows, 'flow')}: ${reasons.join(', ')}`];
  if (held > 0) parts.push(`${counted(held, 'fragment')} that waited for the first one`);
  if (datagrams > 0) parts.push(`${counted(datagrams, 'datagram')} in fragments`);
  if (helped > 0) parts.push(`what a helper knew of ${counted(helped, 'flow')}`);
  if (parts.length > 0) log?.(`not taken over from the engine before: ${parts.join('; ')}`);
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
