/**
 * Somebody who looks, in the namespace of a gateway: a process that does what its arguments say until it is ended.
 *
 *     control SOCKET   a page of 100 flows, their number and the status, four times a second
 *     metrics URL      a scrape each second
 *     page URL         what an open page does: an event stream of counters, and two lists each second
 *
 * Says `looking` when each has been answered once, and counts its answers at the end.
 */
import { type RequestOptions, request } from 'node:http';

let answers = 0;

/** Resolves with the length of the answer; rejects when it is no 200. */
function get(options: RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(options, (response) => {
      let length = 0;
      response.on('data', (part: Buffer) => {
        length += part.length;
      });
      response.on('end', () => {
        answers++;
        if (response.statusCode === 200) resolve(length);
        else reject(new Error(`${options.path}: ${response.statusCode}`));
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** An answer that does not end: what it brings is read. */
function follow(options: RequestOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(options, (response) => {
      response.on('data', () => {
        answers++;
        resolve();
      });
      if (response.statusCode !== 200) reject(new Error(`${options.path}: ${response.statusCode}`));
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function again(everyMs: number, what: () => Promise<unknown>): Promise<void> {
  await what();
  setInterval(() => what().catch(fail), everyMs);
}

function fail(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

async function look(kind: string, where: string): Promise<void> {
  const at = (path: string): RequestOptions =>
    kind === 'control'
      ? { socketPath: where, path, host: 'natgate' }
      : { host: new URL(where).hostname, port: new URL(where).port, path };
  switch (kind) {
    case 'control':
      return again(250, async () => {
        for (const path of ['/v1/flows?limit=100', '/v1/flows/count', '/v1/status']) await get(at(path));
      });
    case 'metrics':
      return again(1000, () => get(at('/metrics')));
    case 'page':
      await follow(at('/v1/stats?follow=true&interval=1'));
      return again(1000, async () => {
        for (const path of ['/v1/flows?limit=50', '/v1/status']) await get(at(path));
      });
    default:
      throw new Error(`${kind}: no way to look`);
  }
}

process.on('SIGTERM', () => {
  console.log(`${answers} answers`);
  process.exit(0);
});
const words = process.argv.slice(2);
for (let i = 0; i < words.length; i += 2) await look(words[i]!, words[i + 1]!).catch(fail);
console.log('looking');
