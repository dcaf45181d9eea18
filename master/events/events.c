/* The numbered event log: one statement at a time numbers what waits in the outbox; listeners hear it in order. */
#include "master/events/events.h"

#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

#include "common/log.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/events/hints.h"

enum {
  EVENTS_BATCH = 1000,    /* of the statement */
  EVENTS_PAUSE_MS = 5,    /* under load one statement numbers the events of many commits */
};

struct events {
  struct master *m;
  struct list listeners;
  uv_timer_t sweep, pause;
  int handles;
  uint64_t begun; /* loop time of the last statement */
  bool in_flight, again, reading;
  int64_t last;
};

static void number(struct events *ev);

/* Those that are new here; in between some may be missing that another master has numbered, and is about to tell of, or has. */
static void tell(struct events *ev, const struct db_res *res)
{
  for (int i = 0; i < db_rows(res, 0); i++) {
    struct event e = { db_num(res, 0, i, 0), db_ms(res, 0, i, 1), db_str(res, 0, i, 2), db_str(res, 0, i, 3), db_str(res, 0, i, 4) };
    if (e.number <= ev->last)
      continue;
    ev->last = e.number;
    list_each(it, &ev->listeners) {
      struct event_listener *l = list_of(it, struct event_listener, node);
      l->hear(&e, l->arg);
    }
  }
}

static void numbered(struct db_res *res, void *arg)
{
  struct events *ev = arg;
  int rows;

  ev->in_flight = false;
  if (db_err(res)) {
    if (db_err(res) != ERR_AWAY)
      log_error("events", "%s", db_errtext(res));
    return;
  }
  rows = db_rows(res, 0);
  for (int i = 0; i < rows; i++)
    hints_say(ev->m->hints, hint_of(db_str(res, 0, i, 2)));
  tell(ev, res);
  if (ev->again || rows >= EVENTS_BATCH) { /* more may have come while it ran */
    ev->again = false;
    events_kick(ev);
  }
}

static void number(struct events *ev)
{
  struct db_tx *tx;

  if (ev->in_flight) {
    ev->again = true;
    return;
  }
  if (!db_is_up(ev->m->db) || ev->m->stopping)
    return;
  ev->in_flight = true;
  ev->begun = uv_now(ev->m->loop);
  tx = db_tx(ev->m->db, DB_ANY);
  db_q(tx, SQL_events_number, "");
  db_send(tx, numbered, ev);
}

static void was_read(struct db_res *res, void *arg)
{
  struct events *ev = arg;

  ev->reading = false;
  if (!db_err(res))
    tell(ev, res); /* more than a page is left to the readers: they see that some are missing, and read themselves */
}

static bool followed(const struct events *ev)
{
  list_each(it, &ev->listeners)
    if (list_of(it, struct event_listener, node)->follows)
      return true;
  return false;
}

void events_elsewhere(struct events *ev)
{
  struct db_tx *tx;

  if (ev->reading || !followed(ev) || !db_is_up(ev->m->db))
    return;
  ev->reading = true;
  tx = db_tx(ev->m->db, DB_READ);
  db_q(tx, SQL_api_events, "n", ev->last);
  db_send(tx, was_read, ev);
}

/* Outbox rows of other masters that died before numbering them. */
static void on_sweep(uv_timer_t *t)
{
  struct events *ev = t->data;

  events_kick(ev);
  uv_timer_start(t, on_sweep, (uint64_t)ev->m->conf->look_ms / CONF_LOOKS_EVENTS, 0);
}

struct events *events_new(struct master *m)
{
  struct events *ev = xcalloc(1, sizeof *ev);

  ev->m = m;
  list_init(&ev->listeners);
  uv_timer_init(m->loop, &ev->sweep);
  uv_timer_init(m->loop, &ev->pause);
  ev->sweep.data = ev->pause.data = ev;
  ev->handles = 2;
  uv_timer_start(&ev->sweep, on_sweep, (uint64_t)m->conf->look_ms / CONF_LOOKS_EVENTS, 0);
  return ev;
}

static void closed(uv_handle_t *h)
{
  struct events *ev = h->data;

  if (--ev->handles == 0)
    free(ev);
}

void events_free(struct events *ev)
{
  uv_close((uv_handle_t *)&ev->sweep, closed);
  uv_close((uv_handle_t *)&ev->pause, closed);
}

static void on_pause(uv_timer_t *t)
{
  number(t->data);
}

void events_kick(struct events *ev)
{
  uint64_t since = uv_now(ev->m->loop) - ev->begun;

  if (ev->in_flight || since >= EVENTS_PAUSE_MS)
    number(ev);
  else if (!uv_is_active((uv_handle_t *)&ev->pause))
    uv_timer_start(&ev->pause, on_pause, EVENTS_PAUSE_MS - since, 0);
}

static void got_last(struct db_res *res, void *arg)
{
  struct events *ev = arg;

  if (!db_err(res) && db_num(res, 0, 0, 0) > ev->last)
    ev->last = db_num(res, 0, 0, 0);
  if (!db_err(res))
    number(ev);
}

void events_db_up(struct events *ev)
{
  struct db_tx *tx = db_tx(ev->m->db, DB_ANY);

  db_q(tx, SQL_events_last, "");
  db_send(tx, got_last, ev);
}

void events_listen(struct events *ev, struct event_listener *l)
{
  list_push(&ev->listeners, &l->node);
}

void events_unlisten(struct event_listener *l)
{
  list_remove(&l->node);
}

int64_t events_last(const struct events *ev)
{
  return ev->last;
}
