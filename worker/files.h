/* File operations of the master (docs/protocol.md 5), each in a forked child of the agent, so that a hung disk stops nothing else. */
#ifndef WORKER_FILES_H
#define WORKER_FILES_H
#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"
#include "proto/wire.h"
#include "worker/confine.h"

#define FILES_AT_ONCE 8
#define FILES_WAITING_MAX 4096
#define FILES_WAITING_BYTES (16u << 20) /* what comes beyond is answered `busy` */

struct files {
  int work;              /* the work folder; the owner's */
  const struct confine *confine;
  struct list waiting, running;
  int nwaiting, nrunning;
  size_t waiting_bytes;  /* of their blobs */
};

void files_init(struct files *f, int work, const struct confine *confine);
struct files_ask {
  enum verb verb;
  int64_t req, a, b;     /* a, b: the numbers behind it, where the verb has some */
  const char *blob;
  size_t n;
  int below;             /* the folder that the path is below, open until the program's end; 0: the work folder */
};
/* Takes one operation (its blob is copied); answers at once (to out) where it is not even tried. */
void files_take(struct files *f, const struct files_ask *ask, struct buf *out);
/* Descriptors to poll, at most FILES_AT_ONCE; returns how many. Not called while the link is full: children wait then. */
int files_poll(const struct files *f, struct pollfd *p);
/* After poll, with what files_poll() filled: answers of what has ended go to out. */
void files_turn(struct files *f, const struct pollfd *p, int n, struct buf *out);
/* The link is lost: everything is forgotten. */
void files_forget(struct files *f);
#endif
