/** What `natgate who-had` does, once its words are understood. */
import { NatgateError } from '../core/errors.ts';
import { logLines } from '../gateway/events/log-files.ts';
import { type Holder, type Question, WhoHad } from '../gateway/events/who-had.ts';
import { readApplied } from '../gateway/reload/applied.ts';
import { runDirectory } from '../gateway/run/run-record.ts';
import { formatAddress, parseAddress } from '../wire/address.ts';
import { parseProtocol } from '../wire/protocols.ts';
import { EXIT } from './exit.ts';
import { writeLines } from './output.ts';

/** Throws NatgateError `usage`. */
export function questionOf(
  text: string,
  protocol: string | undefined,
  external: string | undefined,
): Question {
  const [portText = '', timeText] = text.split(/@(.*)/s);
  const port = Number(portText);
  if (!/^\d{1,5}$/.test(portText) || port > 65_535) {
    throw new NatgateError('usage', `${portText}: not a port`, 'give a number from 0 to 65535, e.g. 40123');
  }
  const number = protocol === undefined ? null : parseProtocol(protocol);
  if (protocol !== undefined && number === null) {
    throw new NatgateError('usage', `--protocol ${protocol}: no protocol`, 'give tcp, udp, icmp or a number');
  }
  const address = external === undefined ? null : parseAddress(external);
  if (external !== undefined && address === null) {
    throw new NatgateError('usage', `--external ${external}: no IPv4 address`, 'e.g. --external 192.0.2.1');
  }
  return {
    port,
    protocol: number,
    external: address === null ? null : formatAddress(address),
    time: timeText === undefined ? null : timeOf(timeText),
  };
}

function timeOf(text: string): number {
  const time = /^\d{1,11}(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (!Number.isNaN(time)) return time;
  throw new NatgateError(
    'usage',
    `${JSON.stringify(text)} is no time`,
    'give it as 2026-03-01T12:00:00Z, or as seconds since 1970',
  );
}

/** Sets the exit code to 1 where the log knows of nobody. Throws NatgateError `no_event_log`. */
export async function printWhoHad(
  which: { name: string; stateRoot: string },
  question: Question,
  { file, json }: { file: string | undefined; json: boolean },
): Promise<void> {
  const who = new WhoHad(question);
  for await (const line of logLines(file ?? logOf(which))) who.line(line);
  const holders = who.holders();
  if (who.missing > 0) {
    process.stderr.write(
      `natgate: ${who.missing} events are missing in the log: it may know less than there was\n`,
    );
  }
  if (json) await writeLines([JSON.stringify({ holders, missing: who.missing })]);
  else await writeLines(holders.map(holderLine));
  if (holders.length > 0) return;
  process.exitCode = EXIT.failed;
  if (!json) process.stderr.write('natgate: the log knows of nobody\n');
}

function holderLine({ host, client, external, protocol, rule, from, until, by }: Holder): string {
  const name = client === '' ? '' : ` (${client})`;
  return `${host}${name} had ${external} ${protocol ?? 'any protocol'} from ${from} to ${until ?? 'now'}, rule ${rule}, by its ${by}`;
}

/** The file that events of this gateway go to. */
function logOf({ name, stateRoot }: { name: string; stateRoot: string }): string {
  const applied = readApplied(runDirectory(stateRoot, name));
  const path = applied?.options.events.find((sink) => sink.kind === 'file')?.path;
  if (path !== undefined) return path;
  throw new NatgateError(
    'no_event_log',
    applied === null ? `no gateway ${name} is running` : `the gateway ${name} writes no events to a file`,
    'give --file LOG; `events: {file: PATH}` in the configuration has one written',
  );
}
