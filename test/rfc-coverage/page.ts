/** docs/rfc-coverage.md, as text. */
import type { Document, Met, Requirement } from './requirement.ts';

export function isMust(requirement: Requirement): boolean {
  return requirement.level.startsWith('MUST');
}

const WORDS: Record<Met, string> = {
  yes: 'yes',
  reserved: 'yes, with a reserve',
  no: 'no',
  outside: 'outside',
};

export function coveragePage(documents: readonly Document[]): string {
  return `# RFC coverage

What the NAT RFCs require, whether natgate does it, and the test that would fail if it did not. This page is written by
\`npm run docs:rfc\` from \`test/rfc-coverage/\`; \`test/rfc-coverage.test.ts\` checks that it is up to date, that every test it
names exists, and that no MUST or MUST NOT stands under *no*. Those with a reserve, and the one that is outside, are listed below.

- **yes**: with the defaults, or, where the requirement is that something can be had, when asked for.
- **yes, with a reserve**: with the defaults up to a point that is named; without reserve by the option that is named.
- **no**: not, for the reason given.
- **outside**: about something that natgate is not; what that means is said.

A requirement that says MUST NOT is met when natgate does not. Options are those of \`natgate run\` unless they are called the
engine's. Tests are files below \`test/\` and titles in them.

${summary(documents)}

${exceptions(documents)}
${documents.map(section).join('\n')}`;
}

function summary(documents: readonly Document[]): string {
  const mets: Met[] = ['yes', 'reserved', 'no', 'outside'];
  const line = (name: string, requirements: readonly Requirement[]) => {
    const musts = requirements.filter(isMust);
    const counts = mets.map((met) => {
      const all = requirements.filter((one) => one.met === met).length;
      const must = musts.filter((one) => one.met === met).length;
      return all === 0 ? '0' : `${all} (${must})`;
    });
    return `| ${name} | ${requirements.length} (${musts.length}) | ${counts.join(' | ')} |`;
  };
  return [
    `| of them MUST or MUST NOT in brackets | rows | ${mets.map((met) => WORDS[met]).join(' | ')} |`,
    '|---|---|---|---|---|---|',
    ...documents.map(({ rfc, requirements }) => line(`RFC ${rfc}`, requirements)),
    line(
      'all',
      documents.flatMap(({ requirements }) => requirements),
    ),
  ].join('\n');
}

/** The MUSTs that are not simply met, where nobody can overlook them. */
function exceptions(documents: readonly Document[]): string {
  const list = (met: Met) =>
    documents.flatMap(({ rfc, requirements }) =>
      requirements
        .filter((one) => isMust(one) && one.met === met)
        .map((one) => `- RFC ${rfc} ${one.id} (${one.level}): ${one.how}`),
    );
  return `MUSTs with a reserve:

${list('reserved').join('\n')}

MUSTs that are outside:

${list('outside').join('\n')}
`;
}

function section({ rfc, title, requirements }: Document): string {
  return `## RFC ${rfc}: ${title}

| requirement | level | content | met | how, or why not | tests |
|---|---|---|---|---|---|
${requirements.map(line).join('\n')}
`;
}

function line({ id, level, content, met, how, tests }: Requirement): string {
  const named = tests.map(([file, title]) => `\`${file}\`: ${plain(title)}`).join('<br>');
  return `| ${plain(id)} | ${level} | ${plain(content)} | ${WORDS[met]} | ${how} | ${named} |`;
}

function plain(text: string): string {
  return text.replaceAll('|', '\\|');
}
