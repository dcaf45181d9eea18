/* Standard input that the master brings while the command runs (docs/protocol.md 4, Input): the agent's half. The minder's is input.h.

   Bytes may be secrets, so they are in memory only: of the agent, which holds what the minder has no room for yet, of the kernel, in the FIFO `in` of the command's folder, which the minder keeps open, and of the
   minder. What goes through the FIFO are frames that are written whole or not at all, each with its place, so that neither an agent's death nor bytes that are brought twice can leave one out or repeat one.
   How far the minder has come is in the file `fed`; it wakes the agent after each change. */
#ifndef WORKER_FEED_H
#define WORKER_FEED_H
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/spool.h"

#define FEED_WINDOW 65536 /* bytes that the master may be ahead of what the command was given */

struct agent;
struct command;

enum feed_kind { FEED_BYTES, FEED_END };
/* A frame is this and its bytes. */
struct feed_head {
  int64_t off; /* of the first byte; FEED_END: where the input ends */
  uint32_t n, kind;
};
#define FEED_FRAME_MAX (PIPE_BUF < 4096 ? PIPE_BUF : 4096) /* such a write to a FIFO is all or nothing */
#define FEED_BYTES_MAX (FEED_FRAME_MAX - sizeof(struct feed_head))

struct feed {
  char *held;       /* FEED_WINDOW bytes of room, NULL while nothing is held */
  size_t n;
  int64_t off;      /* of the first one that is held: all below were given to the minder */
  int64_t end;      /* where the input ends; -1: not told, or told to the minder */
  bool asked;       /* on this link */
  bool known;       /* how far the minder is: */
  struct spool_fed seen; /* as it said last */
  struct spool_fed told; /* what the master was told last on this link */
};

/* Before a command with such input has its minder: makes FIFO and file. ERR_NOSPACE, ERR_IO. */
enum err feed_make(const struct spool *sp) must_check;
struct feed *feed_new(void);
void feed_free(struct feed *f);
/* What the master says; each is answered. p: wiped by the caller. */
void feed_take(struct agent *a, struct command *c, int64_t off, const char *p, size_t n);
void feed_close(struct agent *a, struct command *c, int64_t off);
/* The minder may have come further, or the command has ended. */
void feed_woken(struct agent *a, struct command *c);
/* The link is lost. */
void feed_detach(struct feed *f);
#endif
