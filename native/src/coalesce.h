#ifndef NATGATE_COALESCE_H
#define NATGATE_COALESCE_H

#include "exchange.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct {
  uint32_t target; /* device << 16 | slot */
  int32_t length;
} OutEntry;

/* BATCH packets and less than UDP_MAX_SEGMENTS of any kernel (64, later 128). */
#define MAX_SEGMENTS 64
/* The head's headers, then each packet's payload, in two pieces where it crosses the end of its header slot. */
#define MAX_PARTS (1 + 2 * MAX_SEGMENTS)
/* virtio_net_hdr, IPv4 without options, TCP with all it can have. */
#define MAX_HEADERS (VNET_BYTES + 20 + 60)

#define NOBODY UINT16_MAX
#define COALESCE_BUCKETS 256

/* Packets that leave as one: the entry of the first, which a Chain is found by, and those linked to it. */
typedef struct {
  uint32_t next_sequence;
  uint16_t last;     /* entry */
  uint16_t segments;
  uint16_t headers;  /* bytes of IPv4 and transport header */
  uint16_t payload;  /* bytes of each segment but the last */
  uint32_t length;   /* of the whole */
  bool checked;      /* the first packet's checksum is known to be right */
} Chain;

typedef struct {
  uint16_t buckets[COALESCE_BUCKETS]; /* hash of device and tuple -> first entry of an open chain */
  Chain chains[OUT_ENTRIES];          /* by first entry; valid where segments > 0 */
  uint16_t next[OUT_ENTRIES];         /* entry -> the next of its chain */
} Coalescer;

/* Transport protocols whose packets may be merged. */
enum { MERGE_TCP = 1, MERGE_UDP = 2 };

/* Whether slot and length of the entry, which is the engine's word only, are inside the arena. */
static inline bool is_inside(OutEntry entry) {
  return (entry.target & 0xffff) < SLOTS && entry.length > 0 && entry.length <= LINEAR_BYTES + OVERFLOW_BYTES;
}

static inline uint8_t *packet_of(uint8_t *arena, OutEntry entry) {
  return arena + HEADERS + (entry.target & 0xffff) * HEADER_BYTES + PACKET_OFFSET;
}

/*
 * Finds what can leave together in the first `count` entries. Afterwards an entry leads a chain (segments > 1), is alone (segments 1), or is in another's (segments 0).
 */
void coalesce(Coalescer *c, uint8_t *arena, const OutEntry *out, int32_t count, unsigned protocols);

/* MERGE_* of the packet that leads a chain. */
unsigned merged_protocol(uint8_t *arena, OutEntry entry);

/* Describes the super-packet of the chain that `first` leads. `headers` has MAX_HEADERS bytes. Returns the number of parts. */
int super_packet(const Coalescer *c, uint8_t *arena, const OutEntry *out, int32_t first, uint8_t *headers,
                 struct iovec *parts);

#endif
