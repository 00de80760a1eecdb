/**
 * A small DNS server, UDP and TCP: `node dns-server.mjs ADDRESS ANSWER [PORT]`. A of any name: ANSWER. TXT: who asks, and of `large.…`
 * 2500 bytes, truncated where the query does not say that so much is welcome. Everything else: no data. Prints `ready`.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const [address, answer, port = '53'] = process.argv.slice(2);
const A = 1;
const TXT = 16;
const OPT = 41;
const LARGE = 2500;

function reply(query, source, limit) {
  let at = 12;
  const labels = [];
  while (query[at] !== 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
    at += query[at] + 1;
  }
  const end = at + 5;
  const type = query.readUInt16BE(at + 1);
  // Root name, type, size.
  const hasOption = query.readUInt16BE(10) > 0 && query.readUInt16BE(end + 1) === OPT;
  const most = limit ?? (hasOption ? query.readUInt16BE(end + 3) : 512);
  const text = labels[0] === 'large' ? 'x'.repeat(LARGE) : source;
  const data = type === A ? Buffer.from(answer.split('.').map(Number)) : type === TXT ? strings(text) : null;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180 | (query.readUInt16BE(2) & 0x0100), 2);
  header.writeUInt16BE(data === null ? 0 : 1, 6);
  header.writeUInt32BE(0, 8);
  const parts = [header, query.subarray(12, end)];
  if (data !== null) {
    const record = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, 0]);
    record.writeUInt16BE(data.length, 10);
    parts.push(record, data);
  }
  const whole = Buffer.concat(parts);
  if (whole.length <= most) return whole;
  header.writeUInt16BE(0x8380, 2);
  header.writeUInt16BE(0, 6);
  return Buffer.concat([header, query.subarray(12, end)]);
}

function strings(text) {
  const parts = [];
  for (let at = 0; at < text.length; at += 255) {
    const part = Buffer.from(text.slice(at, at + 255));
    parts.push(Buffer.from([part.length]), part);
  }
  return Buffer.concat(parts);
}

const udp = createSocket('udp4', (query, from) => {
  udp.send(reply(query, from.address), from.port, from.address);
});
const tcp = createServer((socket) => {
  socket.on('error', () => {});
  let read = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    read = Buffer.concat([read, chunk]);
    while (read.length >= 2 && read.length >= 2 + read.readUInt16BE(0)) {
      const length = read.readUInt16BE(0);
      const whole = reply(read.subarray(2, 2 + length), socket.remoteAddress, 65535);
      const size = Buffer.alloc(2);
      size.writeUInt16BE(whole.length);
      socket.write(Buffer.concat([size, whole]));
      read = read.subarray(2 + length);
    }
  });
});
udp.bind(Number(port), address, () => tcp.listen(Number(port), address, () => console.log('ready')));
