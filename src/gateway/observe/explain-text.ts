/** An explanation (explain.ts) as people read it. */
import type { Explained } from './explain.ts';

const VERDICTS: Partial<Record<Explained['verdict'], string>> = {
  host: 'to the host: it is the gateway’s own',
  worker: 'to the worker whose packet it is',
  held: 'held until the first fragment of its datagram comes',
  nothing: 'nothing left',
};

export function explainText(explained: Explained): string {
  const { time, steps, left, packet, side } = explained;
  const clock = time.slice(11, 23);
  const lines = [`${clock} ${explained.interface} (${side}) ${packet}`];
  const say = (word: string, text: string) => lines.push(`    ${word.padEnd(9)} ${text}`);
  for (const { step, says } of steps) say(step, says);
  if (explained.reason !== null) {
    say('dropped', `${explained.reason}: ${explained.meaning}`);
    if (explained.resource !== null) say('', explained.resource);
    if (explained.remedy !== null) say('mend', explained.remedy);
  }
  for (const out of left) {
    const word = out.made && explained.reason !== null ? 'answered' : 'left';
    say(word, `${out.interface} (${out.side}) ${out.packet}`);
    if (out.changes.length > 0) say('', out.changes.join(', '));
  }
  const verdict = VERDICTS[explained.verdict];
  if (verdict !== undefined && explained.reason === null) say('', verdict);
  return `${lines.join('\n')}\n`;
}
