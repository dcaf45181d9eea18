/* A helper process: a program of ours that does what the master itself had better not (it meets the bytes of hosts and repositories). It has our three pipes, no environment of ours, and a process group of its own.

   Whoever started it is called back from the loop, never from within: `heard` with what it wrote to standard output; `gone` once, when the process has ended and nothing of it is left.
   Failures: a program that can't be started: start_rc says why, `gone` follows all the same. What it writes to standard error is kept up to a limit, the beginning of it. */
#ifndef MASTER_CORE_HELPER_H
#define MASTER_CORE_HELPER_H
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/buf.h"
#include "common/mem.h"

struct helper;
struct helper_ops {
  void (*heard)(struct helper *h, const char *p, size_t n); /* valid during this call only */
  void (*gone)(struct helper *h);                           /* helper_free is the caller's, then or later */
};

/* The fields may be read, not written. */
struct helper {
  const struct helper_ops *ops;
  void *owner;
  uv_process_t process;
  uv_pipe_t in, out, err_out;
  int open;            /* handles not yet closed */
  int link;            /* our end; -1: none, or taken */
  int start_rc;        /* of uv_spawn; not 0: there is no process */
  struct buf errors;   /* what it wrote to standard error; whoever has read it may buf_reset it */
  char spill[512];     /* of it, on the way there */
  int64_t exit_status;
  int exit_signal;
};

/* env: a NULL-ended list, all that it gets. linked: its descriptor 3 is one end of a socket pair. errors_max: bytes of standard error that are kept. */
void helper_start(struct helper *h, uv_loop_t *loop, const char *program, char **env, bool linked, size_t errors_max, const struct helper_ops *ops, void *owner);
/* Our end of the pair, the caller's from now on; -1: it was taken before, or there is none. */
int helper_link(struct helper *h) must_check;
/* Writes to its standard input; the bytes are copied, and the copy is wiped when they are written. False: it takes no more (its end is told by `gone`). */
bool helper_say(struct helper *h, const void *p, size_t n);
void helper_hush(struct helper *h);        /* ends its standard input */
void helper_kill(const struct helper *h);  /* with all that it started and that stayed in its group */
bool helper_lives(const struct helper *h); /* until its end was noticed; `gone` is near then */
void helper_free(struct helper *h);        /* after `gone` */
#endif
