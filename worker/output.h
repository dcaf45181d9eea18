/* The way of a command's output in its minder: masked (veil.h), cut where it is over its limits (cut.h), collected into chunks, appended to the log's segments or, behind the head, kept aside (tail.h)
   until the end. Holds at most what was read last and one chunk. */
#ifndef WORKER_OUTPUT_H
#define WORKER_OUTPUT_H
#include "worker/cut.h"
#include "worker/tail.h"
#include "worker/veil.h"

enum output_to { OUTPUT_LOG, OUTPUT_TAIL };

struct output {
  struct segment_writer log;
  struct veil veil;
  struct cut cut;
  struct tail tail;
  int64_t left_bytes, left_lines; /* out of the log, when it has ended */
  bool followed;          /* somebody looks: chunks are closed sooner */
  bool broken;            /* the spool can't be written: what comes is thrown away */
  int64_t start;          /* of the command, on clock_mono_ms() */
  int64_t close_at, sync_at; /* when the chunk is to be closed, the log to be synced; INT64_MAX: never */
  int wake_fd;            /* notice.h */
  struct chunk_enc *enc;  /* NULL until there is output */
  struct chunk closed;    /* raw 0: none; else it waits for room on the disk */
  enum output_to enc_to, closed_to; /* whose they are */
  char marker[CUT_MARKER_MAX]; /* to be in the log next */
  size_t marker_at, marker_len;
  bool marked;            /* something was left out, and the log tells so */
  const char *part;       /* read (and masked), and not all in the chunk yet */
  size_t part_at, part_len;
  unsigned part_channel;
  int64_t acked, full_bytes;
};

/* Lives as long as its process. */
void output_init(struct output *o, struct spool *sp, int wake_fd);
/* Values of secrets, records as in secrets.h, that are to be masked. Before any output. */
void output_mask(struct output *o, const struct spec *s, const char *values, size_t n);

/* As in struct spec; 0: none. Before any output. */
void output_limit(struct output *o, int64_t bytes, int64_t lines);

/* Bytes of a channel; p is valid until output_push() has said true. False: no more may come, the disk is full or the master lacks too much; output_room() says when it goes on. What came before was taken whole. */
bool output_take(struct output *o, unsigned channel, const char *p, size_t n, int64_t now) must_check;
/* What the masks hold of a channel, because nothing more comes or it took too long. False: as above. */
bool output_let_go(struct output *o, unsigned channel, int64_t now) must_check;
/* What can't be masked, said at the log's beginning. False: as above. */
bool output_warn(struct output *o, int64_t now) must_check;
/* Goes on with what was taken. False: the disk is full. */
bool output_push(struct output *o, int64_t now) must_check;
/* The same, and whether the master lacks no more than it may. */
bool output_room(struct output *o, int64_t now) must_check;
bool output_held(const struct output *o); /* some of what was taken is in no chunk yet */
/* Writes the chunk that was collected. tell: wake the agent. False: the disk is full, it stays. */
bool output_close(struct output *o, bool tell) must_check;
/* Nothing comes any more: all of it into the log, what was kept aside too. wait: called, and again, while the disk is full. */
void output_end(struct output *o, void (*wait)(void));
void output_sync(struct output *o);
void output_follow(struct output *o, bool on);
#endif
