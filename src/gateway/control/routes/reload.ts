/** Whether a configuration is right, what it would change, and to put the file in force. */
import { createRoute, z } from '@hono/zod-openapi';
import { type Problem, pathText } from '../../config/problems.ts';
import { flowObject } from '../../flow-object.ts';
import type { Foreseen } from '../../reload/plan.ts';
import { causeCounts } from '../../reload/result.ts';
import { checked, MAX_FLOWS_FORESEEN, planned, reloaded, text } from '../schemas.ts';
import { answers, body, type ControlApp, type ControlledGateway } from './route.ts';

export function reloadRoutes(app: ControlApp, { running, reload }: ControlledGateway): void {
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/check',
      request: { body: body(text) },
      responses: answers(checked, 'What is wrong with a configuration in itself; nothing changes'),
    }),
    (c) => c.json(report(running.check(c.req.valid('json').text)), 200),
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/plan',
      request: { body: body(text) },
      responses: answers(planned, 'What a reload would change, and which flows would end; nothing changes'),
    }),
    (c) => {
      const { problems, foreseen } = running.plan(c.req.valid('json').text);
      return c.json({ ...report(problems), foreseen: foreseen === null ? null : asForeseen(foreseen) }, 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/reload',
      request: { body: body(z.strictObject({})) },
      responses: answers(reloaded, 'The file is in force'),
    }),
    async (c) => {
      const { result, error } = await reload();
      if (error !== undefined) throw error;
      return c.json(result, 200);
    },
  );
}

function report(problems: readonly Problem[]) {
  return {
    usable: problems.every(({ severity }) => severity !== 'error'),
    problems: problems.map(({ severity, path, what, remedy, place }) => ({
      severity,
      path: pathText(path),
      what,
      remedy,
      line: place?.line ?? null,
      column: place?.column ?? null,
    })),
  };
}

/** There may be a million flows that would end: all are counted, by cause, and the first are listed. */
function asForeseen({ changes, refused, host, ending, kept }: Foreseen) {
  const flows = ending
    .slice(0, MAX_FLOWS_FORESEEN)
    .map(({ cause, flow }) => ({ cause, flow: flowObject(flow) }));
  return { changes, refused, host, ending: causeCounts(ending), flows, kept };
}
