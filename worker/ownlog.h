/* The agent's own log: stderr, and two files of 1 MiB in its folder. */
#ifndef WORKER_OWNLOG_H
#define WORKER_OWNLOG_H
#include "common/log.h"

/* From now on, lines of the log go to stderr and, with the time unless they have it, to `log` in the folder dir (a descriptor that stays open). */
void ownlog_open(int dir, bool lines_have_time);
#endif
