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
#include "master/core/helper.h"

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
  struct helper h;                 /* its errors are of what it is asked now; its start_rc not 0: `gone` follows */
  uv_timer_t timer;                /* the deadline; while it has nothing to do: its end */
  int asked;                       /* how often */
  struct buf answer;
};

struct gitproc *gitproc_new(uv_loop_t *loop, const char *program, const struct gitproc_ops *ops, void *owner) must_check;
void gitproc_ask(struct gitproc *p, void *ask, const struct buf *request);
void gitproc_deadline(struct gitproc *p, int64_t ms);
bool gitproc_idle(const struct gitproc *p);
void gitproc_rest(struct gitproc *p);
void gitproc_retire(struct gitproc *p);
void gitproc_kill(struct gitproc *p);
#endif
