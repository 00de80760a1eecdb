/**
 * ICMP (RFC 792). Query messages carry an identifier that NAT treats as a port (RFC 5508); error messages quote
 * the packet they are about.
 */
export const ICMP_TYPE_FIELD = 0;
export const ICMP_CODE = 1;
export const ICMP_CHECKSUM = 2;
export const ICMP_ID = 4;
/** Next-hop MTU of "fragmentation needed" (RFC 1191). */
export const ICMP_MTU = 6;
export const ICMP_HEADER = 8;

export const ECHO_REPLY = 0;
export const UNREACHABLE = 3;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;

export const NET_UNREACHABLE = 0;
export const HOST_UNREACHABLE = 1;
export const PORT_UNREACHABLE = 3;
export const FRAGMENTATION_NEEDED = 4;
export const ADMIN_PROHIBITED = 13;

const REQUEST = 1;
const REPLY = 2;
const ERROR = 3;

/** What a type is: 0 neither, REQUEST, REPLY or ERROR. Source quench, redirect and router discovery: see ICMP_TYPE. */
const CLASSES = new Uint8Array(256);
const ANSWERS = new Uint8Array(256);
for (const [request, reply] of [
  [8, 0],
  [13, 14],
  [15, 16],
  [17, 18],
] as const) {
  CLASSES[request] = REQUEST;
  CLASSES[reply] = REPLY;
  ANSWERS[request] = reply;
  ANSWERS[reply] = request;
}
for (const error of [3, 4, 11, 12]) CLASSES[error] = ERROR;

export function isIcmpRequest(type: number): boolean {
  return CLASSES[type] === REQUEST;
}

export function isIcmpReply(type: number): boolean {
  return CLASSES[type] === REPLY;
}

export function isIcmpError(type: number): boolean {
  return CLASSES[type] === ERROR;
}

/** The type that answers a query type, both ways (8 ↔ 0, 13 ↔ 14, 15 ↔ 16, 17 ↔ 18). */
export function oppositeIcmpType(type: number): number {
  return ANSWERS[type]!;
}
