/**
 * Markdown to roff, as far as our manual pages need it: `# NAME(1)`, `## Section`, `### Subsection`, paragraphs, code blocks of
 * four blanks, lists with `- `, and definitions (a line, and below it one that begins with `: `); inline **bold**, *italic* and `code`.
 */

/** `source`: what the foot of the page says, a version say. Throws on a page without title. */
export function toRoff(markdown: string, source: string): string {
  const lines = markdown.trimEnd().split('\n');
  const [, name, section] = /^# (\S+)\((\d)\)$/.exec(lines.shift() ?? '') ?? [];
  if (name === undefined) throw new Error('a manual page begins with # NAME(SECTION)');
  const out = [`.TH ${name.toUpperCase()} ${section} "" "${source}" "natgate"`, '.nh', '.ad l'];
  let isOpen = false;
  const paragraph = (request: string) => {
    if (!isOpen) out.push(request);
    isOpen = true;
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    if (line === '') isOpen = false;
    else if (line.startsWith('### ')) out.push(`.SS ${inline(line.slice(4))}`);
    else if (line.startsWith('## ')) out.push(`.SH ${inline(line.slice(3).toUpperCase())}`);
    else if (line.startsWith('    ')) {
      out.push('.PP', '.RS 4', '.nf');
      for (; lines[i]?.startsWith('    '); i++) out.push(protect(escapeText(lines[i]!.slice(4))));
      out.push('.fi', '.RE');
      i--;
    } else if (lines[i + 1]?.startsWith(': ')) {
      out.push('.TP', protect(inline(line)), protect(inline(lines[++i]!.slice(2))));
      isOpen = true;
    } else if (line.startsWith('- ')) {
      out.push('.IP \\(bu 2', protect(inline(line.slice(2))));
      isOpen = true;
    } else {
      paragraph('.PP');
      out.push(protect(inline(line.trimStart())));
    }
  }
  return `${out.join('\n')}\n`;
}

/** A line of text that begins like a request is none. */
function protect(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}

function escapeText(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(
      /[^\n -~]/gu,
      (character) => `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
    );
}

function inline(text: string): string {
  return text
    .split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)/)
    .map((part) => {
      if (part.length > 1 && part.startsWith('`')) return `\\fB${escapeText(part.slice(1, -1))}\\fR`;
      if (part.length > 4 && part.startsWith('**')) return `\\fB${escapeText(part.slice(2, -2))}\\fR`;
      if (part.length > 2 && part.startsWith('*')) return `\\fI${escapeText(part.slice(1, -1))}\\fR`;
      return breakable(escapeText(part));
    })
    .join('');
}

/** A word that is longer than a line may be broken after its signs. */
function breakable(text: string): string {
  return text.replace(/\S{50,}/g, (word) => word.replace(/[,|\]]/g, '$&\\:'));
}
