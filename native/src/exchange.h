/*
 * The arena's layout as the addon sees it. The same numbers, with their explanation, stand in
 * src/engine/arena.ts; describe() gives them to the test that compares the two.
 */
#ifndef NATGATE_EXCHANGE_H
#define NATGATE_EXCHANGE_H

enum {
  CONTROL = 0,
  IN_LIST = 4096,
  OUT_LIST = 8192,
  HEADERS = 16384,
  HEADER_BYTES = 2048,
  SLOTS = 256,
  OVERFLOW = HEADERS + SLOTS * HEADER_BYTES,
  OVERFLOW_BYTES = 65536,
  ARENA_BYTES = OVERFLOW + SLOTS * OVERFLOW_BYTES,

  BATCH = 64,
  BATCH_BYTES = 65536,
  OUT_ENTRIES = 512,

  VNET_OFFSET = 2,
  PACKET_OFFSET = 12,
  LINEAR_BYTES = HEADER_BYTES - PACKET_OFFSET,
  VNET_BYTES = PACKET_OFFSET - VNET_OFFSET,

  /* Control words. */
  NOW = 0,
  WRITE_REFUSED = 1,
  WRITE_NO_BUFFER = 2,
  WRITE_DOWN = 3,
  READ_TRUNCATED = 4,
  WRITE_ERRNO = 5,
  WAITS = 6,
  SUPER_PACKETS = 7,
  COALESCED = 8,
  HANDLING = 9,

  MAX_QUEUES = 16,
};

#endif
