/**
 * SCTP common header and chunks (RFC 9260 3): 0 source port, 2 destination port, 4 verification tag, 8 CRC32c, then
 * chunks of type (1), flags (1), length (2, without padding) and value, each padded to 4 bytes. The CRC covers the ports, so a port
 * that is translated would need the whole packet summed: ports of SCTP stay as they are.
 */
export const SCTP_TAG = 4;
export const SCTP_HEADER = 12;

/** Offsets within a chunk. */
export const CHUNK_FLAGS = 1;
export const CHUNK_LENGTH = 2;
export const CHUNK_HEADER = 4;
/** Of INIT and INIT ACK: the tag that packets to the sender shall carry, and how long the fixed part is. */
export const INIT_TAG = 4;
export const INIT_LENGTH = 20;

export const DATA = 0;
export const INIT = 1;
export const INIT_ACK = 2;
export const HEARTBEAT = 4;
export const HEARTBEAT_ACK = 5;
export const ABORT = 6;
export const SHUTDOWN = 7;
export const SHUTDOWN_ACK = 8;
export const ERROR = 9;
export const COOKIE_ECHO = 10;
export const COOKIE_ACK = 11;
export const SHUTDOWN_COMPLETE = 14;

/** Flag T of ABORT and SHUTDOWN COMPLETE: the tag is the sender's own, reflected (RFC 9260 8.5.1). */
export const TAG_REFLECTED = 1;
