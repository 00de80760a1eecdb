/**
 * The body of a request, before anything parses it: how long it is, how deep, and whether it is JSON. Of other methods than POST
 * and DELETE it is never read; a DELETE may have none.
 */
import type { MiddlewareHandler } from 'hono';
import { errorBody, notJson } from './errors.ts';

export const MAX_BODY_BYTES = 1_048_576;
/** Of a longer one, so much more is read and thrown away. */
const MAX_DISCARDED = 4 * MAX_BODY_BYTES;
const MAX_DEPTH = 32;

/** What the parsed body is kept as: validation says what is wrong by it. */
export interface Parsed {
  Variables: { parsed: unknown };
}

export const requireJson: MiddlewareHandler<Parsed> = async (c, next) => {
  const isDelete = c.req.method === 'DELETE';
  if (c.req.method !== 'POST' && !(isDelete && announcesBody((name) => c.req.header(name)))) return next();
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    return c.json(notJson(), 415);
  }
  const sent = await limitedText(c.req.raw, Number(c.req.header('content-length') ?? 0));
  if (sent === null) {
    return c.json(
      errorBody(
        'body_too_large',
        `the body has more than ${MAX_BODY_BYTES} bytes`,
        'a configuration is smaller',
      ),
      413,
    );
  }
  // Clients announce bodies that they do not have.
  const text = isDelete && sent === '' ? '{}' : sent;
  // Whoever reads it after this gets it from here; what is kept is a promise, whatever its type says.
  Object.assign(c.req.bodyCache, { text: Promise.resolve(text) });
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

function announcesBody(header: (name: string) => string | undefined): boolean {
  return (
    header('content-type') !== undefined ||
    header('transfer-encoding') !== undefined ||
    Number(header('content-length') ?? 0) > 0
  );
}

/** Null: it is longer than is allowed. */
async function limitedText({ body }: Request, announced: number): Promise<string | null> {
  if (body === null) return '';
  const reader = body.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  while (Math.max(length, announced) <= MAX_BODY_BYTES) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(parts).toString('utf8');
    length += value.length;
    parts.push(value);
  }
  void discard(reader);
  return null;
}

/**
 * The rest of a body that nobody wants, up to MAX_DISCARDED. Whoever sends it would lose the answer if the connection ended
 * meanwhile; the listener ends it half a second later.
 */
async function discard(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  try {
    for (let length = 0; length < MAX_DISCARDED; ) {
      const { done, value } = await reader.read();
      if (done) return;
      length += value.length;
    }
  } catch {
    // ended before its body did
  }
}

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
