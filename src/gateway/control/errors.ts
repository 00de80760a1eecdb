/** What is wrong with a request, or with what it asks for, as a status and a body. */
import { HTTPException } from 'hono/http-exception';
import { NatgateError } from '../../core/errors.ts';
import { ConfigError, pathText } from '../config/problems.ts';

export interface ErrorBody {
  error: {
    code: string;
    message: string;
    hint: string;
    problems?: { path: string; what: string; remedy: string }[];
  };
}

export type ErrorStatus = 400 | 404 | 405 | 409 | 413 | 415 | 422 | 429 | 500 | 503;

const STATUS: Record<string, ErrorStatus> = {
  filter_invalid: 422,
  bad_cursor: 422,
  bad_limit: 422,
  bad_interval: 422,
  too_many_taps: 429,
  no_such_forward: 404,
  no_such_chain: 404,
  no_such_rule: 404,
  bad_position: 422,
  bad_kind: 400,
  config_invalid: 422,
  usage: 422,
  config_unreadable: 409,
  no_file: 409,
  not_ready: 503,
  engine_away: 503,
  too_many_streams: 429,
  restart_needed: 409,
};

export function errorBody(code: string, message: string, hint: string): ErrorBody {
  return { error: { code, message, hint } };
}

export function notJson(): ErrorBody {
  return errorBody(
    'not_json',
    'the body is not application/json',
    'send the header `content-type: application/json`',
  );
}

export function errorOf(error: unknown): { status: ErrorStatus; body: ErrorBody } {
  if (error instanceof ConfigError) {
    const wrong = error.problems.filter(({ severity }) => severity === 'error');
    const problems = wrong.map(({ path, what, remedy }) => ({ path: pathText(path), what, remedy }));
    const message = problems.map(({ path, what }) => (path === '' ? what : `${path}: ${what}`)).join('; ');
    const hint = problems.map(({ remedy }) => remedy).find((remedy) => remedy !== '') ?? '';
    return { status: 422, body: { error: { code: error.code, message, hint, problems } } };
  }
  if (error instanceof NatgateError) {
    return { status: STATUS[error.code] ?? 409, body: errorBody(error.code, error.message, error.hint) };
  }
  // The framework reads some content types otherwise than body.ts does: `application/json;` is none to it.
  if (error instanceof HTTPException && error.status === 415) return { status: 415, body: notJson() };
  // Nothing of the inside goes out: the log has it.
  return { status: 500, body: errorBody('internal', 'the request failed', 'see the log of the gateway') };
}
