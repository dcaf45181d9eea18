/* A git helper process: asked, at rest, or near its end. */
#include "master/changes/gitproc.h"

#include <stdlib.h>

#include "master/changes/githelper.h"
#include "proto/records.h"

enum { STDERR_MAX = 4096, IDLE_MS = 3000, RETIRE_MS = 10000 };

enum proc_state { PROC_IDLE, PROC_BUSY, PROC_ENDING, PROC_STATES };

static const struct sm_row proc_rows[PROC_STATES] = {
  [PROC_IDLE] = { "idle", SM_TO(PROC_BUSY) | SM_TO(PROC_ENDING) },
  [PROC_BUSY] = { "busy", SM_TO(PROC_IDLE) | SM_TO(PROC_ENDING) },
  [PROC_ENDING] = { "ending", 0 },
};

static void enter(struct gitproc *p, enum proc_state next)
{
  sm_move(&p->sm, next);
}

/* ---- the end ---- */

static void on_timer(uv_timer_t *t);

static void on_timer_closed(uv_handle_t *handle)
{
  struct gitproc *p = handle->data;

  list_remove(&p->node);
  p->ops->gone(p);
  helper_free(&p->h);
  buf_free(&p->answer);
  free(p);
}

static void gone(struct helper *h)
{
  struct gitproc *p = h->owner;

  if (p->sm.state != PROC_ENDING)
    enter(p, PROC_ENDING);
  uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

void gitproc_retire(struct gitproc *p)
{
  if (p->sm.state != PROC_ENDING)
    enter(p, PROC_ENDING);
  p->ask = NULL;
  helper_hush(&p->h); /* it reads that there is no more, and ends; or else */
  if (!uv_is_closing((uv_handle_t *)&p->timer))
    uv_timer_start(&p->timer, on_timer, RETIRE_MS, 0);
}

void gitproc_kill(struct gitproc *p)
{
  if (p->sm.state != PROC_ENDING)
    enter(p, PROC_ENDING);
  if (!uv_is_closing((uv_handle_t *)&p->timer))
    uv_timer_stop(&p->timer);
  helper_kill(&p->h);
}

/* ---- running ---- */

static void on_timer(uv_timer_t *t)
{
  struct gitproc *p = t->data;

  if (p->ask)
    p->ops->late(p);
  else if (p->sm.state == PROC_ENDING)
    gitproc_kill(p);
  else
    gitproc_retire(p);
}

static void heard(struct helper *h, const char *bytes, size_t n)
{
  struct gitproc *p = h->owner;

  if (!p->ask)
    return; /* nobody asked: it is not listened to */
  buf_add(&p->answer, bytes, n);
  p->ops->heard(p);
  if (p->ask && p->answer.failed)
    p->ops->too_large(p);
  else if (p->ask && records_ended(&p->answer))
    p->ops->answered(p);
}

struct gitproc *gitproc_new(uv_loop_t *loop, const char *program, const struct gitproc_ops *ops, void *owner)
{
  static const struct helper_ops helper_ops = { heard, gone };
  static char home[] = "HOME=/nonexistent", path[] = "PATH=/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
  char *env[] = { home, path, lang, NULL };
  struct gitproc *p = xcalloc(1, sizeof *p);

  p->ops = ops;
  p->owner = owner;
  list_init(&p->node);
  sm_init(&p->sm, "git helper", proc_rows, PROC_STATES, PROC_IDLE);
  buf_init(&p->answer, GITH_OUTPUT_MAX);
  uv_timer_init(loop, &p->timer);
  p->timer.data = p;
  helper_start(&p->h, loop, program, env, false, STDERR_MAX, &helper_ops, p);
  return p;
}

void gitproc_ask(struct gitproc *p, void *ask, const struct buf *request)
{
  p->ask = ask;
  if (p->h.start_rc)
    return;
  enter(p, PROC_BUSY);
  p->asked++;
  buf_reset(&p->answer);
  if (!helper_say(&p->h, request->data, request->len))
    gitproc_kill(p);
}

void gitproc_deadline(struct gitproc *p, int64_t ms)
{
  uv_timer_start(&p->timer, on_timer, ms > 0 ? (uint64_t)ms : 0, 0);
}

bool gitproc_idle(const struct gitproc *p)
{
  return p->sm.state == PROC_IDLE && helper_lives(&p->h);
}

void gitproc_rest(struct gitproc *p)
{
  p->ask = NULL;
  enter(p, PROC_IDLE);
  buf_reset(&p->answer);
  uv_timer_start(&p->timer, on_timer, IDLE_MS, 0);
}
