/* Arenas that other threads may look at: see onlooker.c. */
#ifndef NATGATE_ONLOOKER_H
#define NATGATE_ONLOOKER_H

#include <stdint.h>

/* Of the calling thread, which will use it. There is room for MOST_ARENAS; more are not shown. */
void show_arena(const uint8_t *arena, int wake_fd);
void hide_arena(const uint8_t *arena);

#endif
