/*
 * The parts of the addon that know nothing of Node (coalesce.c, writer.c), with hostile out lists: for the sanitizers and valgrind
 * (native/check.js), which see what JavaScript cannot.
 *
 *     writer-check ROUNDS SEED
 *
 * Each round fills an arena of its own size on the heap, so that a byte before or behind it is noticed, with packets of a few flows,
 * damaged ones, and entries whose slot, length or device is nonsense. Then:
 *
 *   write_batch   what is not written is counted, packet by packet: the devices are one that takes all and some that take nothing
 *   coalesce      every entry is in one chain; a chain's parts are inside the arena, and are the payloads of its packets in their order
 */
#include "../src/writer.h"

#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FLOWS 6

static uint64_t dice = 1;
static uint64_t seed;
static unsigned long round_number;

static uint32_t roll(uint32_t limit) {
  dice ^= dice << 13;
  dice ^= dice >> 7;
  dice ^= dice << 17;
  return (uint32_t)((dice >> 32) * limit >> 32);
}

static void must(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "writer-check: %s (seed %" PRIu64 ", round %lu)\n", what, seed, round_number);
  abort();
}

typedef struct {
  uint32_t device, sequence;
  uint16_t id, payload;
  uint8_t protocol, options, dont_fragment, address;
} Flow;

static Flow flows[FLOWS];

static Flow new_flow(void) {
  return (Flow){
      .device = roll(8) == 0 ? roll(70000) : roll(4),
      .sequence = roll(UINT32_MAX),
      .id = (uint16_t)roll(65536),
      .payload = (uint16_t)(roll(4) == 0 ? roll(60000) : roll(1600)),
      .protocol = roll(2) == 0 ? 6 : 17,
      .options = (uint8_t)(4 * roll(11)),
      .dont_fragment = (uint8_t)roll(2),
      .address = (uint8_t)roll(256),
  };
}

static void put16(uint8_t *at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value & 0xffff);
}

/* The next packet of a flow, in a slot. Returns its length. */
static int32_t flow_packet(uint8_t *arena, unsigned slot, Flow *flow) {
  uint8_t *packet = arena + HEADERS + slot * HEADER_BYTES + PACKET_OFFSET, *vnet = packet - VNET_BYTES;
  int is_tcp = flow->protocol == 6;
  unsigned headers = 20 + (is_tcp ? 20u + flow->options : 8u);
  unsigned payload = roll(12) == 0 ? roll(flow->payload + 1u) : flow->payload, length = headers + payload;
  memset(vnet, 0, VNET_BYTES + headers);
  vnet[0] = roll(5) == 0 ? (uint8_t)roll(4) : 2; /* DATA_VALID */
  packet[0] = 0x45;
  put16(packet + 2, length);
  put16(packet + 4, flow->id++);
  packet[6] = flow->dont_fragment ? 0x40 : 0;
  packet[8] = 63;
  packet[9] = flow->protocol;
  packet[12] = packet[16] = 10;
  packet[15] = flow->address;
  put32(packet + 20, 0x10000050u + flow->address);
  if (is_tcp) {
    put32(packet + 24, flow->sequence);
    packet[32] = (uint8_t)((headers - 20) / 4 << 4);
    packet[33] = roll(10) == 0 ? (uint8_t)roll(256) : 0x10;
    memset(packet + 40, 1, flow->options);
    flow->sequence += payload;
  } else {
    put16(packet + 24, length - 20);
    put16(packet + 26, 1 + roll(65535));
  }
  if (payload > 0 && length <= LINEAR_BYTES) packet[headers + roll(payload)] = (uint8_t)roll(256);
  if (roll(12) == 0) packet[roll(headers)] ^= (uint8_t)(1u << roll(8));
  return (int32_t)length;
}

static int32_t fill(uint8_t *arena, OutEntry *out) {
  int32_t count = (int32_t)(roll(4) == 0 ? roll(OUT_ENTRIES + 1) : roll(70));
  for (unsigned i = 0; i < FLOWS; i++)
    if (roll(3) == 0) flows[i] = new_flow();
  for (int32_t i = 0; i < count; i++) {
    unsigned slot = roll(20) == 0 ? roll(SLOTS) : (unsigned)i % SLOTS;
    Flow *flow = &flows[roll(2) == 0 ? 0 : roll(FLOWS)];
    int32_t length = flow_packet(arena, slot, flow);
    uint32_t device = flow->device & 0xffff;
    if (roll(30) == 0) length = (int32_t)(roll(2) == 0 ? roll(UINT32_MAX) : roll(80000));
    if (roll(60) == 0) slot = roll(65536);
    if (roll(60) == 0) device = roll(65536);
    out[i] = (OutEntry){device << 16 | slot, length};
  }
  return count;
}

/* Whether the memory is the arena's, or the headers that super_packet() made. */
static int is_readable(const uint8_t *arena, const uint8_t *headers, const struct iovec *part) {
  const uint8_t *at = part->iov_base;
  if (at == headers) return part->iov_len <= MAX_HEADERS;
  return at >= arena && part->iov_len <= ARENA_BYTES && at + part->iov_len <= arena + ARENA_BYTES;
}

/* The byte `i` of a packet. */
static const uint8_t *byte_of(uint8_t *arena, OutEntry entry, size_t i) {
  if (i < LINEAR_BYTES) return packet_of(arena, entry) + i;
  return arena + OVERFLOW + (size_t)(entry.target & 0xffff) * OVERFLOW_BYTES + (i - LINEAR_BYTES);
}

static void check_chain(const Coalescer *c, uint8_t *arena, const OutEntry *out, int32_t first) {
  const Chain *chain = &c->chains[first];
  uint8_t headers[MAX_HEADERS];
  struct iovec parts[MAX_PARTS];
  must(chain->segments <= MAX_SEGMENTS && chain->length <= 65535, "a chain is too long");
  int count = super_packet(c, arena, out, first, headers, parts), part = 1;
  must(count >= 1 && count <= MAX_PARTS, "too many parts");
  size_t bytes = 0, at = 0;
  for (int i = 0; i < count; i++) {
    must(is_readable(arena, headers, &parts[i]), "a part is outside the arena");
    bytes += parts[i].iov_len;
  }
  must(bytes == (size_t)VNET_BYTES + chain->length, "the parts are not the whole");
  must(parts[0].iov_len == (size_t)VNET_BYTES + chain->headers, "the first part is not the headers");
  int32_t entry = first;
  for (unsigned n = 0; n < chain->segments; n++, entry = c->next[entry]) {
    must(is_inside(out[entry]) && out[entry].target >> 16 == out[first].target >> 16, "a stranger in the chain");
    for (size_t i = chain->headers; i < (size_t)out[entry].length; i++) {
      while (part < count && at == parts[part].iov_len) part++, at = 0;
      must(part < count && ((const uint8_t *)parts[part].iov_base)[at++] == *byte_of(arena, out[entry], i),
           "the payload is another");
    }
  }
}

int main(int argc, char **argv) {
  unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
  seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
  dice = seed * 0x9e3779b97f4a7c15u | 1;
  /* Takes all, is full, is closed, and knows no super-packet (EINVAL). */
  struct pollfd queues[] = {
      {.fd = open("/dev/null", O_WRONLY)},
      {.fd = open("/dev/full", O_WRONLY)},
      {.fd = -1},
      {.fd = timerfd_create(CLOCK_MONOTONIC, 0)},
  };
  const unsigned queue_count = sizeof queues / sizeof *queues;
  uint8_t *arena = calloc(1, ARENA_BYTES);
  must(arena != NULL && queues[0].fd >= 0 && queues[1].fd >= 0 && queues[3].fd >= 0, "cannot begin");
  int32_t *control = (int32_t *)(arena + CONTROL);
  OutEntry *out = (OutEntry *)(arena + OUT_LIST);
  for (unsigned i = 0; i < FLOWS; i++) flows[i] = new_flow();
  unsigned long merged = 0, packets = 0;
  for (round_number = 0; round_number < rounds; round_number++) {
    int32_t count = fill(arena, out), expected = 0, chained = 0;
    memset(control, 0, 64);
    /* Not cleared: what was not written must not be read. */
    Writer *w = malloc(sizeof *w);
    must(w != NULL, "no memory");
    w->arena = arena;
    w->control = control;
    w->out = out;
    w->queues = queues;
    w->queue_count = queue_count;
    w->merged = roll(4);
    unsigned protocols = w->merged;
    for (int32_t i = 0; i < count; i++) expected += !is_inside(out[i]) || out[i].target >> 16 != 0;
    /* A count that is nonsense writes nothing, or the list. */
    int is_nonsense = roll(9) == 0;
    write_batch(w, is_nonsense ? -(int32_t)roll(1000) : count);
    int32_t failed = control[WRITE_REFUSED] + control[WRITE_NO_BUFFER] + control[WRITE_DOWN];
    must(failed == (is_nonsense ? 0 : expected), "a packet was neither written nor counted");
    merged += (unsigned long)control[COALESCED];
    free(w);

    Coalescer *c = malloc(sizeof *c);
    must(c != NULL, "no memory");
    if (count > 0) coalesce(c, arena, out, count, protocols);
    for (int32_t i = 0; i < count; i++) {
      chained += c->chains[i].segments;
      if (c->chains[i].segments > 1) check_chain(c, arena, out, i);
    }
    must(chained == count, "an entry is in no chain, or in two");
    free(c);
    packets += (unsigned long)count;
  }
  free(arena);
  printf("writer-check: %lu rounds, %lu packets, %lu of them merged\n", rounds, packets, merged);
  return merged > 0 || rounds < 100 ? 0 : 1;
}
