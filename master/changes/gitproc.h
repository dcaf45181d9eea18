/* One process of the git helper: asked one thing after the other, as long as all goes well (starting it takes longer than a look at a repository with nothing new).

   Whoever started it is called back from the loop: `answered` with the whole answer, then it must say gitproc_rest or gitproc_retire; `gone` once, when the process has ended and nothing of it is left.
   It ends when it is killed, crashes, was told to (gitproc_retire), or had nothing to do for some seconds. */
#ifndef MASTER_CHANGES_GITPROC_H
#define MASTER_CHANGES_GITPROC_H
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/buf.h"
#include "common/list.h"
#include "common/mem.h"
#include "common/sm.h"

struct gitproc;
struct gitproc_ops {
  void (*heard)(struct gitproc *p);    /* a sign of life */
  void (*late)(struct gitproc *p);     /* gitproc_deadline has passed */
  void (*too_large)(struct gitproc *p);
  void (*answered)(struct gitproc *p); /* answer is whole */
  void (*gone)(struct gitproc *p);     /* valid during this call only */
};

struct gitproc {
  struct list node;                /* the owner's */
  const struct gitproc_ops *ops;
  void *owner, *ask;               /* ask: NULL while it has nothing to do */
  struct sm sm;
  uv_process_t process;
  uv_pipe_t in, out, err_out;
  uv_timer_t timer;                /* the deadline; while it has nothing to do: its end */
  uv_write_t write;
  int open;                        /* handles not yet closed */
  int asked;                       /* how often */
  int start_rc;                    /* of uv_spawn: not 0: there is no process, `gone` follows */
  struct buf answer, errors;       /* of what it is asked now */
  char spill[512];                 /* of stderr past its limit */
  int64_t exit_status;
  int exit_signal;
};

struct gitproc *gitproc_new(uv_loop_t *loop, const char *program, const struct gitproc_ops *ops, void *owner) must_check;
/* request must stay where it is until it is answered or gone. */
void gitproc_ask(struct gitproc *p, void *ask, const struct buf *request);
void gitproc_deadline(struct gitproc *p, int64_t ms);
bool gitproc_idle(const struct gitproc *p);
void gitproc_rest(struct gitproc *p);
void gitproc_retire(struct gitproc *p);
void gitproc_kill(struct gitproc *p);
#endif
