#include "master/dispatch/waits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/run.h"
#include "master/events/events.h"
#include "master/workers/session.h"

struct waits {
  struct master *m;
  uv_idle_t turn;
  uv_timer_t safety;
  struct event_listener listener;
  int handles;
  bool asking, again;
};

/* Of builds that wait for others, and not only for a slot, as PostgreSQL's array; nothing where there are none. */
static void waiting_ids(const struct master *m, struct buf *ids)
{
  list_each(it, sessions_list(m->sessions)) {
    const struct session *s = list_of(it, struct session, node);
    list_each(jt, &s->runs) {
      const struct run *r = list_of(jt, struct run, node);
      if (r->sm.state == RUN_OTHERS && !r->over)
        buf_addf(ids, "%s%" PRId64, ids->len ? "," : "{", r->id);
    }
  }
  if (ids->len)
    buf_addc(ids, '}');
}

static struct run *waiting_run(const struct master *m, int64_t build)
{
  list_each(it, sessions_list(m->sessions)) {
    const struct session *s = list_of(it, struct session, node);
    list_each(jt, &s->runs) {
      struct run *r = list_of(jt, struct run, node);
      if (r->id == build && r->sm.state == RUN_OTHERS && !r->over)
        return r;
    }
  }
  return NULL;
}

/* Slots that builds run in: those that are only kept for builds that go on next (`over`) are not. */
static int running(const struct session *s)
{
  int n = 0;

  list_each(it, &s->runs)
    n += list_of(it, struct run, node)->sm.state != RUN_OTHERS;
  return n;
}

/* One that has what it waited for and may have a slot; of more of them than there are slots one goes on after the other. */
static struct run *ready_run(const struct master *m)
{
  list_each(it, sessions_list(m->sessions)) {
    const struct session *s = list_of(it, struct session, node);
    if (!session_ready(s) || running(s) >= s->slots)
      continue;
    list_each(jt, &s->runs) {
      struct run *r = list_of(jt, struct run, node);
      if (r->sm.state == RUN_OTHERS && r->over)
        return r;
    }
  }
  return NULL;
}

static void go_on(struct waits *w)
{
  struct run *r;

  while (db_is_up(w->m->db) && (r = ready_run(w->m)))
    run_waited(r); /* leaves the state */
}

static void answered(struct db_res *res, void *arg)
{
  struct waits *w = arg;

  w->asking = false;
  if (db_err(res) == ERR_FAILED)
    log_error("waits", "%s", db_errtext(res));
  for (int i = 0; !db_err(res) && i < db_rows(res, 0); i++) {
    struct run *r = waiting_run(w->m, db_num(res, 0, i, 0));
    if (!r)
      continue;
    r->over = true;
    r->worst = (int)db_num(res, 0, i, 1);
    free(r->outcome);
    r->outcome = xstrdup(db_str(res, 0, i, 2));
  }
  go_on(w);
  if (w->again)
    waits_kick(w);
}

static void look(struct waits *w)
{
  struct db_tx *tx;
  struct buf ids;

  w->again = w->asking;
  if (w->asking || w->m->stopping || !db_is_up(w->m->db))
    return;
  go_on(w);
  buf_init(&ids, BUF_NO_MAX);
  waiting_ids(w->m, &ids);
  if (ids.len) {
    w->asking = true;
    tx = db_tx(w->m->db, DB_ANY);
    db_q(tx, SQL_waits_over, "s", buf_str(&ids));
    db_send(tx, answered, w);
  }
  buf_free(&ids);
}

static void on_turn(uv_idle_t *h)
{
  uv_idle_stop(h);
  look(h->data);
}

/* Of several masters one hears an event, and tells the others; where they don't hear that, they look while a build of theirs waits. */
static void on_safety(uv_timer_t *t)
{
  struct waits *w = t->data;

  look(w);
  uv_timer_start(t, on_safety, (uint64_t)w->m->conf->look_ms / CONF_LOOKS_WAITS, 0);
}

static void hear(const struct event *e, void *arg)
{
  if (!strcmp(e->type, "buildset.done"))
    waits_kick(arg);
}

void waits_kick(struct waits *w)
{
  if (w)
    uv_idle_start(&w->turn, on_turn);
}

struct waits *waits_new(struct master *m)
{
  struct waits *w = xcalloc(1, sizeof *w);

  w->m = m;
  uv_idle_init(m->loop, &w->turn);
  uv_timer_init(m->loop, &w->safety);
  w->turn.data = w->safety.data = w;
  w->handles = 2;
  w->listener = (struct event_listener){ .hear = hear, .arg = w };
  events_listen(m->events, &w->listener);
  uv_timer_start(&w->safety, on_safety, (uint64_t)m->conf->look_ms / CONF_LOOKS_WAITS, 0);
  return w;
}

static void closed(uv_handle_t *h)
{
  struct waits *w = h->data;

  if (--w->handles == 0)
    free(w);
}

void waits_free(struct waits *w)
{
  w->m->waits = NULL;
  events_unlisten(&w->listener);
  uv_close((uv_handle_t *)&w->turn, closed);
  uv_close((uv_handle_t *)&w->safety, closed);
}
