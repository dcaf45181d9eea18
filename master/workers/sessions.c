/* All sessions of a master: found, told of the configuration and of the database, which may go and come, and put right with each heartbeat. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/workers/questions.h"
#include "master/workers/session_int.h"

struct list *sessions_list(struct sessions *ss)
{
  return &ss->all;
}

struct session *session_of_worker(struct sessions *ss, int64_t worker)
{
  list_each(it, &ss->all) {
    struct session *s = list_of(it, struct session, node);
    if (s->worker == worker && s->sm.state != SESSION_CLOSED)
      return s;
  }
  return NULL;
}

struct session *session_named(struct sessions *ss, const char *worker)
{
  list_each(it, &ss->all) {
    struct session *s = list_of(it, struct session, node);
    if (str_eq(s->name, worker) && session_ready(s))
      return s;
  }
  return NULL;
}

void sessions_reload(struct sessions *ss)
{
  list_each(it, &ss->all) {
    struct session *s = list_of(it, struct session, node);
    if (s->worker && s->sm.state != SESSION_CLOSED)
      session_configure(s);
  }
}

/* ---- the database ---- */

/* Its workers go to other masters, or wait alone: for as long as a link stands they don't, and whoever has the database counts their builds as lost when the window closes. */
static void alone(uv_timer_t *t)
{
  struct sessions *ss = t->data;

  list_each(it, &ss->all) {
    struct session *s = list_of(it, struct session, node);
    if (s->sm.state == SESSION_AWAY)
      session_close(s, "database");
  }
}

void sessions_db_down(struct sessions *ss)
{
  int64_t quarter = ss->m->conf->window_ms / 4;

  list_each(it, &ss->all)
    session_db_down(list_of(it, struct session, node));
  uv_timer_start(&ss->alone, alone, (uint64_t)(quarter < SESSIONS_ALONE_MS ? quarter : SESSIONS_ALONE_MS), 0);
}

void sessions_db_up(struct sessions *ss)
{
  struct db_tx *tx = db_tx(ss->m->db, DB_ANY);
  struct buf mine;

  uv_timer_stop(&ss->alone);
  buf_init(&mine, BUF_NO_MAX);
  buf_addc(&mine, '{');
  list_each(it, &ss->all) {
    struct session *s = list_of(it, struct session, node);
    if (!s->worker)
      continue;
    buf_addf(&mine, "%s%" PRId64, mine.len > 1 ? "," : "", s->worker);
    if (s->sm.state == SESSION_AWAY && !s->in_tx && !s->loading) {
      sm_move(&s->sm, SESSION_ADOPT);
      session_adopt(s);
    }
  }
  buf_addc(&mine, '}');
  db_q(tx, SQL_sessions_mine, "ns", ss->m->id, buf_str(&mine));
  db_q(tx, SQL_sessions_orphaned, "n", ss->m->id);
  db_send(tx, NULL, NULL);
  buf_free(&mine);
}

/* ---- heartbeats ---- */

void sessions_beat(struct sessions *ss, struct db_tx *tx)
{
  db_q(tx, SQL_sessions_away, "n", ss->m->id);
}

static void is_back(struct db_res *res, void *arg)
{
  struct master *m = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("worker", "%s", db_errtext(res));
  events_kick(m->events);
  dispatch_kick(m->dispatch); /* steps that wait for locks are in their lines again */
}

void sessions_beaten(struct sessions *ss, const struct db_res *res, int stmt)
{
  if (db_err(res))
    return;
  for (int i = 0; i < db_rows(res, stmt); i++) {
    struct session *s = session_of_worker(ss, db_num(res, stmt, i, 0));
    struct db_tx *tx;
    bool removed = db_num(res, stmt, i, 2), ordered = db_num(res, stmt, i, 3), forgotten = s && !s->in_tx && s->number < db_num(res, stmt, i, 1);
    if (s && session_ready(s) && (removed || forgotten)) {
      session_close(s, removed ? "stop" : "replaced"); /* nothing that is sent for it counts */
      continue;
    }
    if (!s || s->number != db_num(res, stmt, i, 1) || !session_ready(s))
      continue; /* the link has just ended, or it is taking its row */
    if (ordered) {
      order_look(s);
      questions_look(ss->m->questions);
      continue;
    }
    log_warn("worker", "%s counted as away, since this master was silent for too long", s->name);
    tx = db_tx(ss->m->db, (uint64_t)s->worker);
    db_q(tx, SQL_session_back, "nn", s->worker, s->number);
    db_send(tx, is_back, ss->m);
  }
}

/* ---- life ---- */

struct sessions *sessions_new(struct master *m)
{
  struct sessions *ss = xcalloc(1, sizeof *ss);

  ss->m = m;
  list_init(&ss->all);
  uv_timer_init(m->loop, &ss->alone);
  ss->alone.data = ss;
  return ss;
}

static void closed(uv_handle_t *h)
{
  free(h->data);
}

void sessions_free(struct sessions *ss)
{
  uv_close((uv_handle_t *)&ss->alone, closed);
}
