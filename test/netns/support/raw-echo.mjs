/**
 * Ping by way of the raw-socket package: a second opinion on what crosses the gateway, from code that shares nothing
 * with it. Run in a namespace as `raw-echo.mjs ping HOST COUNT` or `raw-echo.mjs listen`; prints lines of JSON.
 */
import raw from 'raw-socket';

const [mode, host, count] = process.argv.slice(2);
const ECHO_REPLY = 0;
const ECHO_REQUEST = 8;
const IDENTIFIER = 0x4e47;

const socket = raw.createSocket({ protocol: raw.Protocol.ICMP });
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

// What arrives is the packet with its IP header.
socket.on('message', (packet, source) => {
  const message = packet.subarray((packet[0] & 15) * 4);
  const type = message[0];
  if (mode === 'ping' && (type !== ECHO_REPLY || message.readUInt16BE(4) !== IDENTIFIER)) return;
  print({
    type,
    source,
    destination: [...packet.subarray(16, 20)].join('.'),
    ttl: packet[8],
    identifier: message.readUInt16BE(4),
    sequence: message.readUInt16BE(6),
    checksumOk: raw.createChecksum(message) === 0,
    data: message.subarray(8).toString('latin1'),
  });
  if (mode === 'ping' && message.readUInt16BE(6) === Number(count)) process.exit(0);
});

if (mode === 'listen') {
  process.stdout.write('listening\n');
} else {
  for (let sequence = 1; sequence <= Number(count); sequence++) {
    const message = Buffer.concat([Buffer.alloc(8), Buffer.from(`echo ${sequence}`)]);
    message[0] = ECHO_REQUEST;
    message.writeUInt16BE(IDENTIFIER, 4);
    message.writeUInt16BE(sequence, 6);
    raw.writeChecksum(message, 2, raw.createChecksum(message));
    socket.send(message, 0, message.length, host, (error) => {
      if (error) throw error;
    });
  }
}
