#ifndef NATGATE_WRITER_H
#define NATGATE_WRITER_H

#include "coalesce.h"

#include <poll.h>

/* What writes an out list. */
typedef struct {
  uint8_t *arena;
  int32_t *control;
  const OutEntry *out;
  const struct pollfd *queues; /* by device */
  unsigned queue_count;
  unsigned merged; /* protocols whose packets are coalesced: MERGE_* */
  Coalescer coalescer;
} Writer;

/* Writes the first `count` entries of the out list; what fails is counted in control words. */
void write_batch(Writer *w, int32_t count);

#endif
