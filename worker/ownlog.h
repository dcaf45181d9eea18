/* The agent's own log: stderr, two files of 1 MiB in its folder, and its end in memory, for a master that asks. */
#ifndef WORKER_OWNLOG_H
#define WORKER_OWNLOG_H
#include <stddef.h>

#include "common/log.h"

#define OWNLOG_KEPT 32768 /* bytes in memory, at most */

/* From now on, lines of the log go to stderr and, with the time unless they have it, to `log` in the folder dir (a descriptor that stays open). */
void ownlog_open(int dir, bool lines_have_time);
/* The last whole lines that are kept, of earlier starts too, *n bytes and at most `most`. Valid until the next line. */
const char *ownlog_tail(size_t most, size_t *n);
#endif
