/* The end of an output that is over its limit, kept aside on the minder's disk: chunks, deflated once, in segments of their own, of which the oldest go as soon as the others are enough.
   So it takes what the kept bytes take deflated, and one segment more. When the command has ended they are given back, in order. */
#ifndef WORKER_TAIL_H
#define WORKER_TAIL_H
#include "worker/segment.h"

struct tail {
  struct segment_writer w;   /* offsets and lines count from the first byte that was kept aside */
  struct segment_reader r;   /* giving back */
  struct buf records;
  size_t at;
};

/* Lives as long as its process. */
void tail_init(struct tail *t, struct spool *sp);
/* As segment_append(). */
enum err tail_append(struct tail *t, struct chunk *c) must_check;
/* Only the last so many bytes and lines are wanted. */
void tail_trim(struct tail *t, int64_t bytes, int64_t lines);
/* The first chunk that is still there begins behind so many bytes and lines. */
void tail_first(const struct tail *t, int64_t *bytes, int64_t *lines);
/* The next chunk, from the first one on; its blob is valid until the next call. What was given back is removed. ERR_NOTFOUND: that was all. ERR_IO, ERR_CORRUPT: the disk is not to be trusted. */
enum err tail_next(struct tail *t, struct chunk *c) must_check;
void tail_remove(struct tail *t);
#endif
