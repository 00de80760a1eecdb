/* One piece of work on every thread of the process. See threads.c. */
#ifndef NATGATE_THREADS_H
#define NATGATE_THREADS_H

/* Returns 0 or an errno. Runs in a signal handler: system calls only. */
typedef int (*ThreadWork)(const void *argument);

/* Returns 0, or the errno of the last thread that could not, or of the way to them. This thread comes last. */
int on_every_thread(ThreadWork work, const void *argument);

#endif
