/**
 * The titles of the tests in a file, as its source has them: with their describes before them, joined by ` › `; `…` stands for
 * what a template puts in.
 */
import ts from 'typescript';

const KINDS = new Set(['describe', 'test', 'it']);

export function testTitles(source: string): string[] {
  const titles: string[] = [];
  const visit = (node: ts.Node, path: readonly string[]) => {
    let inner = path;
    if (ts.isCallExpression(node)) {
      const kind = kindOf(node.expression);
      const title = node.arguments[0] && textOf(node.arguments[0]);
      if (kind !== null && title !== undefined) {
        inner = [...path, title];
        if (kind !== 'describe') titles.push(inner.join(' › '));
      }
    }
    ts.forEachChild(node, (child) => visit(child, inner));
  };
  visit(ts.createSourceFile('test.ts', source, ts.ScriptTarget.Latest), []);
  return titles;
}

/** `test`, `test.each(…)`, `describe.skipIf(…)`: the word they begin with; null of other calls, and of tests that never run. */
function kindOf(callee: ts.Expression): string | null {
  let at = callee;
  while (!ts.isIdentifier(at)) {
    if (ts.isPropertyAccessExpression(at)) {
      if (at.name.text === 'skip' || at.name.text === 'todo') return null;
      at = at.expression;
    } else if (ts.isCallExpression(at)) at = at.expression;
    else return null;
  }
  return KINDS.has(at.text) ? at.text : null;
}

function textOf(node: ts.Expression): string | undefined {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return undefined;
  const spans = node.templateSpans.map(({ literal }) => `…${literal.text}`);
  return node.head.text + spans.join('');
}
