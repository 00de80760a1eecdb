/**
 * Counters in a source file: every branch that can be taken or not adds one to a byte of its own when it is. Functions, both ways of
 * `if` and `?:`, loops, cases, `catch`, and the right-hand sides of `&&`, `||` and `??`.
 *
 * V8 counts blocks as well, but asking it costs milliseconds; a look at these bytes costs microseconds, so that it can be taken after
 * every input.
 */
import ts from 'typescript';
import { COUNTERS } from './instrument-name.ts';

export interface Instrumented {
  code: string;
  /** Counters that the code has, from the first one that it was given. */
  count: number;
  /** Texts and numbers of the source, for mutants: what a parser compares with is written in it. */
  words: string[];
  numbers: number[];
}

export function instrument(path: string, source: string, first: number): Instrumented {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.ES2022, true, ts.ScriptKind.TS);
  const make = ts.factory;
  const words = new Set<string>();
  const numbers = new Set<number>();
  let count = 0;

  const taken = () =>
    make.createPostfixIncrement(
      make.createElementAccessExpression(make.createIdentifier(COUNTERS), first + count++),
    );
  const counted = (expression: ts.Expression) =>
    make.createParenthesizedExpression(make.createComma(taken(), expression));
  const statement = () => make.createExpressionStatement(taken());
  const isCounted = (kind: ts.SyntaxKind) =>
    kind === ts.SyntaxKind.AmpersandAmpersandToken ||
    kind === ts.SyntaxKind.BarBarToken ||
    kind === ts.SyntaxKind.QuestionQuestionToken;

  const { transformed } = ts.transform(file, [
    (context) => {
      const body = (node: ts.Statement): ts.Block => {
        const within = ts.visitNode(node, visit) as ts.Statement;
        const statements = ts.isBlock(within) ? within.statements : [within];
        return make.createBlock([statement(), ...statements], true);
      };
      const each = (node: ts.Node): ts.Node => ts.visitEachChild(node, visit, context);
      const visit = (node: ts.Node): ts.Node => {
        if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node))
          return node;
        if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node;
        if (ts.isStringLiteralLike(node) && node.text.length > 0 && node.text.length < 40)
          words.add(node.text);
        if (ts.isNumericLiteral(node)) numbers.add(Number(node.text));
        if (ts.isIfStatement(node)) {
          return make.updateIfStatement(
            node,
            ts.visitNode(node.expression, visit) as ts.Expression,
            body(node.thenStatement),
            node.elseStatement === undefined ? make.createBlock([statement()]) : body(node.elseStatement),
          );
        }
        if (ts.isConditionalExpression(node)) {
          return make.updateConditionalExpression(
            node,
            ts.visitNode(node.condition, visit) as ts.Expression,
            node.questionToken,
            counted(ts.visitNode(node.whenTrue, visit) as ts.Expression),
            node.colonToken,
            counted(ts.visitNode(node.whenFalse, visit) as ts.Expression),
          );
        }
        if (ts.isBinaryExpression(node) && isCounted(node.operatorToken.kind)) {
          return make.updateBinaryExpression(
            node,
            ts.visitNode(node.left, visit) as ts.Expression,
            node.operatorToken,
            counted(ts.visitNode(node.right, visit) as ts.Expression),
          );
        }
        if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) {
          const whole = each(node) as ts.ArrowFunction;
          const { modifiers, typeParameters, parameters, type, equalsGreaterThanToken } = whole;
          const counter = counted(whole.body as ts.Expression);
          return make.updateArrowFunction(
            whole,
            modifiers,
            typeParameters,
            parameters,
            type,
            equalsGreaterThanToken,
            counter,
          );
        }
        if (ts.isCaseOrDefaultClause(node)) {
          const whole = each(node) as ts.CaseOrDefaultClause;
          const statements = [statement(), ...whole.statements];
          return ts.isCaseClause(whole)
            ? make.updateCaseClause(whole, whole.expression, statements)
            : make.updateDefaultClause(whole, statements);
        }
        if (ts.isBlock(node) && ts.isFunctionLike(node.parent)) {
          const whole = each(node) as ts.Block;
          return make.updateBlock(whole, [statement(), ...whole.statements]);
        }
        if (ts.isBlock(node) && ts.isCatchClause(node.parent)) {
          const whole = each(node) as ts.Block;
          return make.updateBlock(whole, [statement(), ...whole.statements]);
        }
        if (ts.isIterationStatement(node, false)) {
          const whole = each(node) as ts.IterationStatement;
          return withBody(make, whole, (old) => {
            const statements = ts.isBlock(old) ? old.statements : [old];
            return make.createBlock([statement(), ...statements], true);
          });
        }
        return each(node);
      };
      return (root) => ts.visitEachChild(root, visit, context);
    },
  ]);
  const code = ts.createPrinter({ removeComments: true }).printFile(transformed[0]!);
  return { code, count, words: [...words], numbers: [...numbers] };
}

function withBody(
  make: ts.NodeFactory,
  loop: ts.IterationStatement,
  change: (body: ts.Statement) => ts.Statement,
): ts.Node {
  const body = change(loop.statement);
  if (ts.isForStatement(loop)) {
    return make.updateForStatement(loop, loop.initializer, loop.condition, loop.incrementor, body);
  }
  if (ts.isForOfStatement(loop)) {
    return make.updateForOfStatement(loop, loop.awaitModifier, loop.initializer, loop.expression, body);
  }
  if (ts.isForInStatement(loop)) {
    return make.updateForInStatement(loop, loop.initializer, loop.expression, body);
  }
  if (ts.isWhileStatement(loop)) return make.updateWhileStatement(loop, loop.expression, body);
  return make.updateDoStatement(loop as ts.DoStatement, body, (loop as ts.DoStatement).expression);
}
