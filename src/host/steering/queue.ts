/**
 * Which worker a TUN gives a packet to: the program of TUNSETSTEERINGEBPF, whose result modulo the number of queues is the
 * queue. It says what `workerOfTuple` says (nat/port-class.ts):
 *
 *     TCP, UDP, SCTP     by our port: the source port on a private TUN, the destination port on the public one
 *     ICMP query         by its id
 *     ICMP error         by what it quotes, which went the other way
 *     fragment, others   the first queue
 *
 * The engine relies on it for fragments, which must meet; another packet in the wrong queue is handed to its worker.
 * The packet's data begins with the IPv4 header, since a TUN has no other.
 */
import { Assembler, fp, type Register, r0, r1, r2, r3, r4, r6, r7 } from '../ebpf/assembler.ts';
import { SKB_LOAD_BYTES } from '../ebpf/kernel.ts';
import { ANY_FRAGMENT, FRAGMENT_OFFSET, ICMP, TCP, UDP } from './parse.ts';

const SCTP = 132;
/** ICMP errors as a set of bits (RFC 792): unreachable, source quench, redirect, time exceeded, parameter problem. */
const ERRORS = (1 << 3) | (1 << 4) | (1 << 5) | (1 << 11) | (1 << 12);
const HIGHEST_ERROR = 12;
const ICMP_HEADER = 8;
const ICMP_ID = 4;
const IP_HEADER = 20;

/** Stack: an IPv4 header, then what is read behind it. */
const IP = -32;
const PORT = -8;

/** `workers`: a power of two, as many as the device has queues. */
export function queueSteering(side: 'private' | 'public', workers: number): Uint8Array {
  const a = new Assembler();
  const own = side === 'private' ? 0 : 2;
  a.alu(r6, '=', r1).alu(r7, '=', 0);
  loadHeader(a);
  // r3: protocol. A fragment's ports are in the first one only, which knows all of them.
  a.load(r1, 'u16', fp, IP + 6)
    .jumpIf(r1, '&', ANY_FRAGMENT, 'first')
    .load(r3, 'u8', fp, IP + 9);
  behindHeader(a);
  a.jumpIf(r3, '==', ICMP, 'icmp');
  byPort(a, own);

  a.label('icmp');
  read(a, r7, PORT, 1);
  a.load(r1, 'u8', fp, PORT)
    .jumpIf(r1, '>', HIGHEST_ERROR, 'id')
    .alu(r2, '=', 1)
    .alu(r2, '<<=', r1)
    .jumpIf(r2, '&', ERRORS, 'error');
  a.label('id').alu(r7, '+=', ICMP_ID);
  a.jump('port');

  a.label('error').alu(r7, '+=', ICMP_HEADER);
  loadHeader(a);
  a.load(r1, 'u16', fp, IP + 6)
    .jumpIf(r1, '&', FRAGMENT_OFFSET, 'first')
    .load(r3, 'u8', fp, IP + 9);
  behindHeader(a);
  a.jumpIf(r3, '==', ICMP, 'quoted_id');
  byPort(a, 2 - own);
  a.label('quoted_id').alu(r7, '+=', ICMP_ID);

  // r7: where the port is.
  a.label('port');
  read(a, r7, PORT, 2);
  a.load(r0, 'u16', fp, PORT)
    .toBigEndian(r0, 16)
    .alu(r0, '>>=', 1)
    .alu(r0, '&=', workers - 1)
    .exit();
  a.label('first').alu(r0, '=', 0).exit();
  return a.assemble();
}

/** Reads the IPv4 header at r7 to IP. */
function loadHeader(a: Assembler): void {
  read(a, r7, IP, IP_HEADER);
}

/** Moves r7 behind the header in IP. */
function behindHeader(a: Assembler): void {
  a.load(r1, 'u8', fp, IP).alu(r1, '&=', 0x0f).alu(r1, '<<=', 2).alu(r7, '+=', r1);
}

/** To `port` with r7 `offset` further where protocol r3 has ports; else to `first`. */
function byPort(a: Assembler, offset: number): void {
  const ports = a.unique('ports');
  a.jumpIf(r3, '==', TCP, ports)
    .jumpIf(r3, '==', UDP, ports)
    .jumpIf(r3, '!=', SCTP, 'first')
    .label(ports)
    .alu(r7, '+=', offset)
    .jump('port');
}

/** Copies `bytes` from `offset` of the packet to the stack; to `first` where the packet ends before. Keeps r6 and r7 only. */
function read(a: Assembler, offset: Register, to: number, bytes: number): void {
  a.alu(r1, '=', r6)
    .alu(r2, '=', offset)
    .alu(r3, '=', fp)
    .alu(r3, '+=', to)
    .alu(r4, '=', bytes)
    .call(SKB_LOAD_BYTES)
    .jumpIf(r0, '!=', 0, 'first');
}
