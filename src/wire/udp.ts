/** UDP header (RFC 768). A checksum of 0 means that none was computed; a computed 0 is sent as 0xffff. */
export const UDP_LENGTH = 4;
export const UDP_CHECKSUM = 6;
export const UDP_HEADER = 8;
