/** The control socket's client: one request, one answer, and an error that says what to do. */
import { statSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { isSystemError, NatgateError } from '../core/errors.ts';
import type { ErrorBody } from '../gateway/control/errors.ts';
import { groupName } from '../gateway/control/group.ts';
import { readRunRecord, runDirectory } from '../gateway/run/run-record.ts';
import { isAlive } from '../host/process-identity.ts';

const WAIT_MS = 30_000;

export interface Which {
  name: string;
  stateRoot: string;
}

/** Throws NatgateError `not_running`, `gateway_old` or `control_off`. */
export function socketOf({ name, stateRoot }: Which): string {
  const record = readRunRecord(runDirectory(stateRoot, name));
  if (record === null || record.lingersUntil !== undefined || !isAlive(record.process)) {
    throw new NatgateError(
      'not_running',
      `no gateway ${name} is running`,
      `start one with \`natgate run\`; those that run are in ${stateRoot}`,
    );
  }
  if (record.control === undefined) {
    throw new NatgateError(
      'gateway_old',
      `the gateway ${name} is of version ${record.natgate}, which has no control socket`,
      'start it anew with this version',
    );
  }
  if (record.control === null) {
    throw new NatgateError(
      'control_off',
      `the gateway ${name} has no control socket`,
      'its configuration says `control: {socket: off}`',
    );
  }
  return record.control;
}

/** The answer's body. Rejects with NatgateError, with the gateway's own code where it refuses. */
export async function ask<T>(which: Which, method: string, path: string, body?: unknown): Promise<T> {
  const socketPath = socketOf(which);
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = body === undefined ? {} : headersOf(text);
  const { status, answer } = await exchange({ socketPath, method, path, headers }, text);
  const content = contentOf(answer, socketPath);
  if (status < 300) return content as T;
  throw refusal(content as ErrorBody);
}

/** An answer that goes on, as a stream. Rejects as ask() does. */
export async function openStream(
  which: Which,
  method: string,
  path: string,
  body?: unknown,
): Promise<IncomingMessage> {
  const socketPath = socketOf(which);
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request({ socketPath, method, path, headers, host: 'natgate' }, resolve);
    sent.on('error', (error) => reject(explained(error, socketPath)));
    sent.end(body === undefined ? '' : JSON.stringify(body));
  });
  if ((response.statusCode ?? 0) < 300) return response;
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  throw refusal(contentOf(Buffer.concat(parts).toString(), socketPath) as ErrorBody);
}

/** The length is not left to Node.js, which gives none to DELETE. */
function headersOf(text: string): Record<string, string> {
  return { 'content-type': 'application/json', 'content-length': `${Buffer.byteLength(text)}` };
}

function contentOf(answer: string, socketPath: string): unknown {
  try {
    return JSON.parse(answer);
  } catch {
    throw new NatgateError(
      'bad_answer',
      `${socketPath} does not answer as a gateway does`,
      'see who listens there',
    );
  }
}

function refusal({ error }: ErrorBody): NatgateError {
  if (error.code === 'no_such_route') {
    return new NatgateError(
      'gateway_old',
      'the gateway that runs does not know this request',
      'start it anew with this version',
    );
  }
  return new NatgateError(error.code, error.message, error.hint);
}

function exchange(
  options: { socketPath: string; method: string; path: string; headers: Record<string, string> },
  text: string,
): Promise<{ status: number; answer: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, host: 'natgate', timeout: WAIT_MS }, (response) => {
      response.setEncoding('utf8');
      let answer = '';
      response.on('data', (part: string) => {
        answer += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, answer }));
    });
    sent.on('timeout', () => sent.destroy(new NatgateError('no_answer', 'the gateway does not answer', '')));
    sent.on('error', (error) => reject(explained(error, options.socketPath)));
    sent.end(text);
  });
}

function explained(error: Error, path: string): Error {
  if (isSystemError(error, 'EACCES')) {
    const { gid } = statSync(path);
    const remedy = gid === 0 ? 'try with sudo' : `be in the group ${groupName(gid)}, or try with sudo`;
    return new NatgateError('not_permitted', `you may not use ${path}`, remedy, { cause: error });
  }
  if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ECONNREFUSED')) {
    return new NatgateError(
      'not_running',
      `nobody listens on ${path}`,
      'the gateway starts or stops: try again',
      {
        cause: error,
      },
    );
  }
  return error;
}
