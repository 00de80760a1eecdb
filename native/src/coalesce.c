/*
 * Coalescing: packets of one out list that follow each other in a flow leave as one super-packet, by one call.
 *
 * A packet that is written to a TUN costs far more than its bytes: the call, a socket buffer, the steering program, the
 * next device. A super-packet pays that once, and the kernel cuts it again where it must be cut (a device without
 * segmentation, a socket that takes datagrams), into the very packets it was made of. Nothing waits for anything: only
 * what is in the list already is merged.
 *
 * A packet joins the chain of its flow when the kernel, which repeats the first packet's headers for each segment, would
 * make it again from them (inet_gso_segment, tcp_gso_segment, __udp_gso_segment):
 *
 *   IPv4   no options, no fragment; same device, addresses, TOS, TTL and DF. Identifications count up by one; with DF they
 *          mean nothing and may become anything (RFC 6864 4.1)
 *   TCP    same ports, acknowledgement, window, options; the next sequence number; ACK alone, PSH on the last one only
 *   UDP    same ports; a checksum, since segments get one
 *   both   as much payload as the first, the last one perhaps less; a checksum that is right, for a super-packet's segments
 *          get fresh ones, which would hide what was damaged on the way
 *
 * Structure: the hash of a flow leads to its open chain; a packet that does not fit there begins the next one, or closes
 * the chain where it can begin none. Another flow in the same bucket does the same: that costs a merger, nothing else.
 *
 * Invariant: a packet may overtake packets of other flows, never one of its own. What cannot be assigned to a flow by its ports
 * (fragments, ICMP, options) is overtaken by nobody.
 *
 * Limits: 64 segments and 65535 bytes. Packets that are super-packets already pass as they are.
 */
#include "coalesce.h"

#include <endian.h>
#include <string.h>

#define IP_HEADER 20
#define TCP_HEADER 20
#define UDP_HEADER 8
#define PROTO_TCP 6
#define PROTO_UDP 17
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6

#define DONT_FRAGMENT 0x4000
#define ACK 0x10
#define PSH 0x08
#define MAX_LENGTH 65535

/* virtio_net_hdr, in the machine's byte order (linux/virtio_net.h). */
#define NEEDS_CSUM 1
#define DATA_VALID 2
#define GSO_NONE 0
#define GSO_TCPV4 1
#define GSO_UDP_L4 5

typedef struct {
  uint8_t flags, gso_type;
  uint16_t header_length, gso_size, checksum_start, checksum_offset;
} VnetHeader;
_Static_assert(sizeof(VnetHeader) == VNET_BYTES, "virtio_net_hdr");

static uint16_t load16(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint32_t load32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint64_t load64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static void store16(uint8_t *at, uint16_t value) {
  memcpy(at, &value, sizeof value);
}

/* One's complement sums, in memory order (RFC 1071 2 B): of halves of words, so that nothing can overflow. */
static uint64_t sum_bytes(const uint8_t *at, size_t length) {
  uint64_t low = 0, high = 0;
  for (; length >= 8; at += 8, length -= 8) {
    uint64_t word = load64(at);
    low += word & 0xffffffff;
    high += word >> 32;
  }
  uint64_t rest = 0;
  memcpy(&rest, at, length);
  return low + high + (rest & 0xffffffff) + (rest >> 32);
}

static uint16_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static uint64_t pseudo_header_sum(const uint8_t *packet, unsigned transport_bytes) {
  return (uint64_t)load32(packet + 12) + load32(packet + 16) + htobe16(packet[9]) + htobe16((uint16_t)transport_bytes);
}

static const uint8_t *overflow_of(const uint8_t *arena, OutEntry entry) {
  return arena + OVERFLOW + (size_t)(entry.target & 0xffff) * OVERFLOW_BYTES;
}

static unsigned checksum_field(const uint8_t *packet) {
  return packet[9] == PROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
}

static const VnetHeader *vnet_of(const uint8_t *packet) {
  return (const VnetHeader *)(packet - VNET_BYTES);
}

/* Whether the transport checksum is right, or will be when it is completed. */
static bool checksum_holds(uint8_t *arena, OutEntry entry) {
  const uint8_t *packet = packet_of(arena, entry), *transport = packet + IP_HEADER;
  const VnetHeader *vnet = vnet_of(packet);
  unsigned field = checksum_field(packet), bytes = (unsigned)entry.length - IP_HEADER;
  uint64_t sum = pseudo_header_sum(packet, bytes);
  if (vnet->flags & NEEDS_CSUM)
    return vnet->checksum_start == IP_HEADER && vnet->checksum_offset == field &&
           fold(sum + (uint16_t)~load16(transport + field)) == 0xffff;
  if (vnet->flags & DATA_VALID) return true;
  if (entry.length <= LINEAR_BYTES) {
    sum += sum_bytes(transport, bytes);
  } else {
    sum += sum_bytes(transport, LINEAR_BYTES - IP_HEADER);
    sum += sum_bytes(overflow_of(arena, entry), (size_t)entry.length - LINEAR_BYTES);
  }
  return fold(sum) == 0xffff;
}

/* A whole TCP or UDP packet without IP options. */
static bool has_ports(const uint8_t *packet, unsigned length) {
  if (length < IP_HEADER + UDP_HEADER || packet[0] != 0x45) return false;
  if ((be16toh(load16(packet + 6)) & ~DONT_FRAGMENT) != 0 || be16toh(load16(packet + 2)) != length) return false;
  return packet[9] == PROTO_UDP || (packet[9] == PROTO_TCP && length >= IP_HEADER + TCP_HEADER);
}

/* Bytes of headers when the packet can be one of several segments, otherwise 0. */
static unsigned segment_headers(const uint8_t *packet, unsigned length, unsigned protocols) {
  const uint8_t *transport = packet + IP_HEADER;
  if (vnet_of(packet)->gso_type != GSO_NONE) return 0;
  unsigned headers;
  if (packet[9] == PROTO_TCP) {
    if ((protocols & MERGE_TCP) == 0) return 0;
    /* Data offset and flags; what is reserved must be 0. */
    unsigned words = transport[12] >> 4;
    if (words < 5 || (transport[12] & 0xf) != 0 || (transport[13] & ~PSH) != ACK) return 0;
    headers = IP_HEADER + words * 4;
  } else {
    if ((protocols & MERGE_UDP) == 0) return 0;
    if (be16toh(load16(transport + 4)) != length - IP_HEADER) return 0;
    if (load16(transport + UDP_CHECKSUM) == 0 && (vnet_of(packet)->flags & NEEDS_CSUM) == 0) return 0;
    headers = IP_HEADER + UDP_HEADER;
  }
  return headers < length ? headers : 0;
}

static unsigned bucket_of(const uint8_t *packet, uint32_t device) {
  uint32_t hash = load32(packet + 12) * 0x9e3779b1u ^ load32(packet + 16) * 0x85ebca77u;
  hash ^= load32(packet + IP_HEADER) * 0xc2b2ae3du + device + packet[9];
  hash *= 0x27d4eb2fu;
  return hash >> 24;
}
_Static_assert(COALESCE_BUCKETS == 1 << 8, "bucket_of gives 8 bits");

/* Whether two packets with as many bytes of headers have in these what segments of one super-packet have in common. */
static bool same_headers(const uint8_t *a, const uint8_t *b, unsigned headers) {
  uint64_t differ = load64(a + 12) ^ load64(b + 12);          /* addresses */
  differ |= load32(a + IP_HEADER) ^ load32(b + IP_HEADER);    /* ports */
  differ |= load16(a) ^ load16(b);                            /* TOS */
  differ |= load32(a + 6) ^ load32(b + 6);                    /* DF, TTL, protocol */
  if (differ != 0) return false;
  if (a[9] == PROTO_UDP) return true;
  const uint8_t *x = a + IP_HEADER, *y = b + IP_HEADER;
  differ = load32(x + 8) ^ load32(y + 8);      /* acknowledgement */
  differ |= load16(x + 14) ^ load16(y + 14);   /* window */
  differ |= load16(x + 18) ^ load16(y + 18);   /* urgent pointer */
  return differ == 0 && memcmp(x + TCP_HEADER, y + TCP_HEADER, headers - IP_HEADER - TCP_HEADER) == 0;
}

/* Whether the packet continues the chain, as far as headers say. */
static bool continues(const Chain *chain, const uint8_t *first, const uint8_t *packet, unsigned headers,
                      unsigned payload) {
  if (headers != chain->headers || payload > chain->payload || chain->segments == MAX_SEGMENTS ||
      chain->length + payload > MAX_LENGTH || !same_headers(first, packet, headers))
    return false;
  if (packet[9] == PROTO_TCP && be32toh(load32(packet + IP_HEADER + 4)) != chain->next_sequence) return false;
  if (be16toh(load16(packet + 6)) & DONT_FRAGMENT) return true;
  return (uint16_t)(be16toh(load16(first + 4)) + chain->segments) == be16toh(load16(packet + 4));
}

static bool has_push(const uint8_t *packet) {
  return packet[9] == PROTO_TCP && (packet[IP_HEADER + 13] & PSH) != 0;
}

/* Adds entry `i` to the chain that `first` leads, if it may. */
static bool join(Coalescer *c, uint8_t *arena, const OutEntry *out, uint16_t first, uint16_t i, unsigned headers) {
  Chain *chain = &c->chains[first];
  const uint8_t *packet = packet_of(arena, out[i]);
  unsigned payload = (unsigned)out[i].length - headers;
  if (!continues(chain, packet_of(arena, out[first]), packet, headers, payload)) return false;
  if (!chain->checked && !checksum_holds(arena, out[first])) return false;
  chain->checked = true;
  if (!checksum_holds(arena, out[i])) return false;
  c->next[chain->last] = i;
  chain->last = i;
  chain->segments++;
  chain->length += payload;
  chain->next_sequence += payload;
  c->chains[i].segments = 0;
  return true;
}

void coalesce(Coalescer *c, uint8_t *arena, const OutEntry *out, int32_t count, unsigned protocols) {
  memset(c->buckets, 0xff, sizeof c->buckets);
  for (uint16_t i = 0; i < count; i++) {
    c->chains[i].segments = 1;
    unsigned length = (unsigned)out[i].length;
    const uint8_t *packet = packet_of(arena, out[i]);
    if (!is_inside(out[i]) || !has_ports(packet, length)) {
      memset(c->buckets, 0xff, sizeof c->buckets);
      continue;
    }
    uint16_t *bucket = &c->buckets[bucket_of(packet, out[i].target >> 16)];
    unsigned headers = segment_headers(packet, length, protocols);
    if (headers == 0) {
      *bucket = NOBODY;
      continue;
    }
    unsigned payload = length - headers;
    uint16_t first = *bucket;
    if (first != NOBODY && out[first].target >> 16 == out[i].target >> 16 &&
        join(c, arena, out, first, i, headers)) {
      if (payload < c->chains[first].payload || has_push(packet)) *bucket = NOBODY;
      continue;
    }
    if (has_push(packet)) {
      *bucket = NOBODY;
      continue;
    }
    *bucket = i;
    c->chains[i] = (Chain){
        .next_sequence = be32toh(load32(packet + IP_HEADER + 4)) + payload,
        .last = i,
        .segments = 1,
        .headers = (uint16_t)headers,
        .payload = (uint16_t)payload,
        .length = length,
    };
  }
}

unsigned merged_protocol(uint8_t *arena, OutEntry entry) {
  return packet_of(arena, entry)[9] == PROTO_TCP ? MERGE_TCP : MERGE_UDP;
}

static int add_part(struct iovec *parts, int count, const uint8_t *at, size_t length) {
  if (length == 0) return count;
  parts[count] = (struct iovec){(void *)(uintptr_t)at, length};
  return count + 1;
}

int super_packet(const Coalescer *c, uint8_t *arena, const OutEntry *out, int32_t first, uint8_t *headers,
                 struct iovec *parts) {
  const Chain *chain = &c->chains[first];
  const uint8_t *packet = packet_of(arena, out[first]);
  bool is_tcp = packet[9] == PROTO_TCP;
  unsigned field = checksum_field(packet), transport_bytes = chain->length - IP_HEADER;
  VnetHeader vnet = {
      .flags = NEEDS_CSUM,
      .gso_type = is_tcp ? GSO_TCPV4 : GSO_UDP_L4,
      .header_length = chain->headers,
      .gso_size = chain->payload,
      .checksum_start = IP_HEADER,
      .checksum_offset = (uint16_t)field,
  };
  memcpy(headers, &vnet, VNET_BYTES);
  uint8_t *ip = headers + VNET_BYTES, *transport = ip + IP_HEADER;
  memcpy(ip, packet, chain->headers);
  store16(ip + 2, htobe16((uint16_t)chain->length));
  store16(ip + 10, 0);
  store16(ip + 10, (uint16_t)~fold(sum_bytes(ip, IP_HEADER)));
  store16(transport + field, fold(pseudo_header_sum(packet, transport_bytes)));
  if (is_tcp)
    transport[13] = packet_of(arena, out[chain->last])[IP_HEADER + 13];
  else
    store16(transport + 4, htobe16((uint16_t)transport_bytes));

  int count = add_part(parts, 0, headers, VNET_BYTES + chain->headers);
  for (uint16_t i = (uint16_t)first, n = 0; n < chain->segments; i = c->next[i], n++) {
    size_t length = (size_t)out[i].length, linear = length < LINEAR_BYTES ? length : LINEAR_BYTES;
    count = add_part(parts, count, packet_of(arena, out[i]) + chain->headers, linear - chain->headers);
    count = add_part(parts, count, overflow_of(arena, out[i]), length - linear);
  }
  return count;
}
