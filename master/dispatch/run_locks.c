/* A step with locks begins in the state `locks` and sleeps in RUN_LOCKS, with no command open; the dispatcher's look, which sees all that is held and who else waits, wakes it. */
#include "master/dispatch/run_locks.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/core/master.h"
#include "master/dispatch/lockbook_rows.h"
#include "master/dispatch/run_int.h"
#include "master/workers/session.h"

static void add(struct run *r, const char *lock, const char *units, int step)
{
  struct build_ctx *c = &r->ctx;

  c->held = xrealloc(c->held, (size_t)(c->nheld + 1) * sizeof *c->held);
  c->held[c->nheld++] = (struct held_lock){ xstrdup(lock), xstrdup(units), step };
}

void run_locks_put(struct run *r, const struct lockbook *b, const struct lock_waiter *w)
{
  struct buf units;

  for (int i = 0; i < w->nwants; i++) {
    buf_init(&units, BUF_NO_MAX);
    lockbook_units(b, w, i, &units);
    add(r, w->wants[i].name, buf_str(&units), w->step);
    buf_free(&units);
  }
  free(r->taking);
  r->taking = lockbook_given(b, w);
}

void run_locks_adopt(struct run *r, const char *json)
{
  cJSON *list = cJSON_Parse(json);
  const cJSON *it;

  cJSON_ArrayForEach(it, list) {
    const char *lock = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "lock")), *units = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "units"));
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(it, "step");
    if (lock)
      add(r, lock, units ? units : "", cJSON_IsNumber(step) ? step->valueint : 0);
  }
  cJSON_Delete(list);
}

static void drop(struct run *r, int step)
{
  struct build_ctx *c = &r->ctx;
  int n = 0;

  for (int i = 0; i < c->nheld; i++)
    if (c->held[i].step >= step) {
      free(c->held[i].lock);
      free(c->held[i].units);
    } else {
      c->held[n++] = c->held[i];
    }
  c->nheld = n;
}

bool run_locks_end_step(struct run *r)
{
  int before = r->ctx.nheld;

  drop(r, 1);
  return r->ctx.nheld < before || r->step.def->nlocks > 0; /* one that was cancelled while it waited is in the line still */
}

void run_locks_free(struct run *r)
{
  drop(r, 0);
  free(r->ctx.held);
  free(r->taking);
}

static struct run *waiting(struct master *m, int64_t build)
{
  list_each(it, sessions_list(m->sessions))
    list_each(jt, &list_of(it, struct session, node)->runs) {
      struct run *r = list_of(jt, struct run, node);
      if (r->sm.state == RUN_LOCKS && (!build || r->id == build))
        return r;
    }
  return NULL;
}

bool run_locks_any_waits(struct master *m)
{
  return waiting(m, 0) != NULL;
}

void run_locks_granted(struct master *m, const struct lockbook *b, const struct lock_waiter *w)
{
  static const struct reply ok = { REPLY_OK, 0, false, "", "", "" };
  struct run *r = waiting(m, w->build);

  if (!r || r->number != w->step)
    return; /* another master's, or its transaction is on the way */
  run_locks_put(r, b, w);
  run_got(r, &ok, NULL);
}

void run_locks_not_now(struct run *r)
{
  enum err err;

  log_debug("locks", "%s: somebody was faster", r->name);
  run_locks_end_step(r);
  intent_free(&r->next);
  err = step_init(&r->step, r->step.def, &r->ctx, NULL, NULL, NULL); /* its first state */
  if (err)
    log_error("locks", "%s: %s", r->name, err_text(err));
  sm_move(&r->sm, RUN_LOCKS);
  if (r->cancelled)
    run_cancel_unsent(r);
}
