/* File operations of the master (docs/protocol.md 5), each in a forked child of the agent, so that a hung disk stops nothing else. */
#ifndef WORKER_FILES_H
#define WORKER_FILES_H
#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"
#include "proto/wire.h"

#define FILES_AT_ONCE 8
#define FILES_WAITING_MAX 4096

struct files {
  int work;              /* the work folder; the owner's */
  struct list waiting, running;
  int nwaiting, nrunning;
};

void files_init(struct files *f, int work);
/* Takes a stat, mkdir, remove, usage or disk (path "."; none of these changes what it is asked about but mkdir and remove); answers at once (to out) where it is not even tried. */
void files_take(struct files *f, enum verb verb, int64_t req, const char *path, size_t n, struct buf *out);
/* Descriptors to poll, at most FILES_AT_ONCE; returns how many. */
int files_poll(const struct files *f, struct pollfd *p);
/* After poll, with what files_poll() filled: answers of what has ended go to out. */
void files_turn(struct files *f, const struct pollfd *p, int n, struct buf *out);
/* The link is lost: everything is forgotten. */
void files_forget(struct files *f);
#endif
