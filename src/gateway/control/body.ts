/** The body of a request, before anything parses it: how long it is, how deep, and whether it is JSON. */
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { errorBody } from './errors.ts';

export const MAX_BODY_BYTES = 1_048_576;
const MAX_DEPTH = 32;

export const limitBody: MiddlewareHandler = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: (c) => {
    c.header('connection', 'close');
    return c.json(
      errorBody(
        'body_too_large',
        `the body has more than ${MAX_BODY_BYTES} bytes`,
        'a configuration is smaller',
      ),
      413,
    );
  },
});

/** What the parsed body is kept as: validation says what is wrong by it. */
export interface Parsed {
  Variables: { parsed: unknown };
}

export const requireJson: MiddlewareHandler<Parsed> = async (c, next) => {
  if (c.req.method !== 'POST') return next();
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    return c.json(
      errorBody(
        'not_json',
        'the body is not application/json',
        'send the header `content-type: application/json`',
      ),
      415,
    );
  }
  const text = await c.req.text();
  if (depthOf(text) > MAX_DEPTH) {
    return c.json(errorBody('bad_json', 'the body is nested too deeply', `${MAX_DEPTH} levels at most`), 400);
  }
  try {
    c.set('parsed', JSON.parse(text));
  } catch (error) {
    const why = (error as Error).message;
    return c.json(
      errorBody('bad_json', `the body is no JSON: ${why}`, 'e.g. {"text": "private: eth1"}'),
      400,
    );
  }
  return next();
};

/** Of brackets outside of texts. */
export function depthOf(text: string): number {
  let [depth, most, isText] = [0, 0, false];
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (isText) {
      if (character === '\\') i++;
      else if (character === '"') isText = false;
    } else if (character === '"') isText = true;
    else if (character === '{' || character === '[') most = Math.max(most, ++depth);
    else if (character === '}' || character === ']') depth--;
  }
  return most;
}
