/*
 * The writing half of an exchange: an out list to its devices.
 *
 * A TUN takes one packet per system call, so packets that follow each other in a flow are written as one super-packet
 * (coalesce.c), by one call that gathers them from their slots. A kernel that does not know that kind of super-packet refuses the
 * first; its packets are written singly then, and so are all others of that protocol.
 *
 * Invariant: no byte outside the arena is read, whatever stands in the out list. Each packet is written or counted.
 *
 * The calls go round the C library, as in exchange.c.
 */
#include "writer.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static void count_failed_write(Writer *w, int error, int32_t packets) {
  w->control[WRITE_ERRNO] = error;
  if (error == EAGAIN || error == ENOBUFS || error == ENOMEM)
    w->control[WRITE_NO_BUFFER] += packets;
  else if (error == EIO)
    w->control[WRITE_DOWN] += packets;
  else
    w->control[WRITE_REFUSED] += packets;
}

static void write_packet(Writer *w, OutEntry entry) {
  unsigned device = entry.target >> 16, slot = entry.target & 0xffff;
  if (device >= w->queue_count || !is_inside(entry)) {
    count_failed_write(w, EINVAL, 1);
    return;
  }
  uint8_t *header = w->arena + HEADERS + slot * HEADER_BYTES + VNET_OFFSET;
  int fd = w->queues[device].fd;
  ssize_t written;
  if (entry.length <= LINEAR_BYTES) {
    written = syscall(SYS_write, fd, header, VNET_BYTES + (size_t)entry.length);
  } else {
    struct iovec parts[2] = {
        {header, VNET_BYTES + LINEAR_BYTES},
        {w->arena + OVERFLOW + (size_t)slot * OVERFLOW_BYTES, (size_t)entry.length - LINEAR_BYTES},
    };
    written = syscall(SYS_writev, fd, parts, 2);
  }
  if (written < 0) count_failed_write(w, errno, 1);
}

/* Writes the packets of the chain that `first` leads: as one where the kernel takes it. */
static void write_chain(Writer *w, int32_t first) {
  const Coalescer *c = &w->coalescer;
  unsigned device = w->out[first].target >> 16;
  int32_t segments = c->chains[first].segments;
  unsigned protocol = merged_protocol(w->arena, w->out[first]);
  if (device < w->queue_count && (w->merged & protocol) != 0) {
    uint8_t headers[MAX_HEADERS];
    struct iovec parts[MAX_PARTS];
    int count = super_packet(c, w->arena, w->out, first, headers, parts);
    if (syscall(SYS_writev, w->queues[device].fd, parts, count) >= 0) {
      w->control[SUPER_PACKETS]++;
      w->control[COALESCED] += segments;
      return;
    }
    if (errno != EINVAL) {
      count_failed_write(w, errno, segments);
      return;
    }
    /* No packet can provoke that: the kernel is older than this kind of super-packet. */
    w->merged &= ~protocol;
  }
  for (uint16_t i = (uint16_t)first; segments > 0; i = c->next[i], segments--) write_packet(w, w->out[i]);
}

void write_batch(Writer *w, int32_t count) {
  if (count > OUT_ENTRIES) count = OUT_ENTRIES;
  if (count <= 1) {
    if (count == 1) write_packet(w, w->out[0]);
    return;
  }
  const Chain *chains = w->coalescer.chains;
  coalesce(&w->coalescer, w->arena, w->out, count, w->merged);
  for (int32_t i = 0; i < count; i++) {
    if (chains[i].segments == 1)
      write_packet(w, w->out[i]);
    else if (chains[i].segments > 1)
      write_chain(w, i);
  }
}
