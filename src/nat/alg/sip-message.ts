/**
 * SIP messages (RFC 3261) as positions in a text: start line, header fields, body. Nothing is copied but what is asked for.
 */

/** `[start, end)` of the text. */
export interface Span {
  start: number;
  end: number;
}

export interface SipField extends Span {
  /** Lower case, long form. The span is the value's. */
  name: string;
}

export interface SipMessage {
  /** Of a request; empty for a response. */
  method: string;
  /** Of a response; 0 for a request. */
  status: number;
  startLine: Span;
  fields: SipField[];
  body: Span;
}

/** Compact forms (RFC 3261 7.3.3). */
const LONG: ReadonlyMap<string, string> = new Map(
  'v:via f:from t:to m:contact l:content-length c:content-type i:call-id'
    .split(' ')
    .map((pair) => pair.split(':') as [string, string]),
);

const REQUEST = /^([A-Z]{2,16}) sips?:\S+ SIP\/2\.0$/i;
const RESPONSE = /^SIP\/2\.0 (\d{3})(?: |$)/i;
const FIELD = /^([A-Za-z0-9-]{1,40})[ \t]*:[ \t]*/;

/** Reads the message that begins at `from`; null when it is none, or not all of it is there. `isStream`: another may follow. */
export function readSip(text: string, from: number, isStream: boolean): SipMessage | null {
  const blank = text.indexOf('\r\n\r\n', from);
  if (blank < 0) return null;
  const lineEnd = text.indexOf('\r\n', from);
  const first = text.slice(from, lineEnd);
  const request = REQUEST.exec(first);
  const response = RESPONSE.exec(first);
  if (request === null && response === null) return null;
  const fields = readFields(text, lineEnd + 2, blank + 2);
  const start = blank + 4;
  const length = fields.find(({ name }) => name === 'content-length');
  let end = text.length;
  if (length !== undefined) {
    const claimed = Number(text.slice(length.start, length.end));
    if (!Number.isInteger(claimed) || start + claimed > text.length) return null;
    end = start + claimed;
  } else if (isStream) {
    return null;
  }
  return {
    method: request === null ? '' : request[1]!.toUpperCase(),
    status: Number(response?.[1] ?? 0),
    startLine: { start: from, end: lineEnd },
    fields,
    body: { start, end },
  };
}

/** Values reach over folded lines. */
function readFields(text: string, from: number, end: number): SipField[] {
  const fields: SipField[] = [];
  for (let at = from; at < end; ) {
    let next = text.indexOf('\r\n', at) + 2;
    while (next < end && (text[next] === ' ' || text[next] === '\t')) next = text.indexOf('\r\n', next) + 2;
    const match = FIELD.exec(text.slice(at, Math.min(next, at + 80)));
    if (match !== null) {
      const name = match[1]!.toLowerCase();
      fields.push({ name: LONG.get(name) ?? name, start: at + match[0].length, end: next - 2 });
    }
    at = next;
  }
  return fields;
}

/** The first value of a field, or ''. */
export function fieldOf(text: string, message: SipMessage, name: string): string {
  const field = message.fields.find((candidate) => candidate.name === name);
  return field === undefined ? '' : text.slice(field.start, field.end).trim();
}
