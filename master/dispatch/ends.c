/* Builds that end otherwise than by themselves: their worker stayed away too long, or they were cancelled in the database by whoever decided about changes. */
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch_int.h"
#include "master/dispatch/run.h"
#include "master/events/events.h"
#include "master/steps/outcome.h"

void dispatch_given_up(struct db_res *res, void *arg)
{
  struct master *m = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("dispatch", "%s", db_errtext(res));
  events_kick(m->events);
  dispatch_kick(m->dispatch);
}

/* ---- workers that stayed away ---- */

int64_t dispatch_alone_ms(const struct master *m)
{
  int64_t window = m->conf->window_ms;
  return window > 2 * DISPATCH_WINDOW_SLACK_MS ? window - DISPATCH_WINDOW_SLACK_MS : window / 2;
}

void dispatch_window_changed(struct dispatch *d, int64_t old_ms)
{
  if (old_ms <= d->m->conf->window_ms)
    return;
  if (old_ms > d->long_window_ms)
    d->long_window_ms = old_ms;
  d->shortened_ms = clock_mono_ms();
}

void dispatch_give_up(struct master *m, int64_t build, struct id epoch, const char *why)
{
  struct db_tx *tx = db_tx(m->db, (uint64_t)build);

  db_q(tx, SQL_fence, "nnn", build, epoch.inc, epoch.n);
  db_q(tx, SQL_build_finish, "nnslns", build, (int64_t)RESULT_EXCEPTION, why, 0, (int64_t)RESULT_EXCEPTION, NULL);
  db_send(tx, dispatch_given_up, m);
}

static void overdue_found(struct db_res *res, void *arg)
{
  struct dispatch *d = arg;

  if (db_err(res))
    return;
  for (int i = 0; i < db_rows(res, 0); i++) {
    int64_t build = db_num(res, 0, i, 0), attempts = db_num(res, 0, i, 3);
    bool cancelled = !strcmp(db_str(res, 0, i, 4), "cancelling");
    int on_lost = (int)db_num(res, 0, i, 8);
    enum outcome_next next = cancelled || !strcmp(db_str(res, 0, i, 5), "done") ? OUTCOME_OVER : outcome_of_lost(on_lost, (int)attempts);
    enum result result = cancelled ? RESULT_CANCELLED : on_lost == PIPE_LOST_FAIL ? RESULT_EXCEPTION : RESULT_RETRY;
    struct db_tx *tx = db_tx(d->m->db, (uint64_t)build);
    log_warn("dispatch", "build %" PRId64 " is lost: its worker stayed away longer than %" PRId64 " s", build, db_num(res, 0, i, 6) / 1000);
    db_q(tx, SQL_fence, "nnn", build, db_num(res, 0, i, 1), db_num(res, 0, i, 2));
    db_q(tx, SQL_steps_lost, "nsns", build, "away", (int64_t)(result == RESULT_EXCEPTION ? result : RESULT_RETRY), "lost: the worker stayed away too long");
    if (next == OUTCOME_ASK)
      db_q(tx, SQL_build_asks, "nss", build, "the worker stayed away too long", NULL);
    else
      db_q(tx, SQL_build_finish, "nnslns", build, (int64_t)result, "the worker stayed away too long", (int)(next == OUTCOME_AGAIN),
           (int64_t)(cancelled ? RESULT_CANCELLED : RESULT_EXCEPTION), NULL);
    db_send(tx, dispatch_given_up, d->m);
  }
}

/* ---- builds that are to end ---- */

static void cancelling_found(struct db_res *res, void *arg)
{
  struct dispatch *d = arg;

  for (int i = 0; !db_err(res) && i < db_rows(res, 0); i++)
    run_cancel_build(d->m, db_num(res, 0, i, 0));
}

void dispatch_cancelled(struct dispatch *d)
{
  struct db_tx *tx;

  if (!d || !db_is_up(d->m->db) || d->m->stopping)
    return;
  tx = db_tx(d->m->db, DB_ANY);
  db_q(tx, SQL_builds_cancelling, "n", d->m->id);
  db_send(tx, cancelling_found, d);
}

static void stopped(struct db_res *res, void *arg)
{
  struct dispatch *d = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("dispatch", "%s", db_errtext(res));
  for (int i = 0; !db_err(res) && i < db_rows(res, 0); i++)
    if (!db_null(res, 0, i, 2))
      run_cancel_build(d->m, db_num(res, 0, i, 2));
  if (!db_err(res) && db_rows(res, 0)) {
    events_kick(d->m->events);
    dispatch_kick(d);
  }
}

void dispatch_ended_badly(struct dispatch *d)
{
  struct db_tx *tx;

  if (!d || !db_is_up(d->m->db) || d->m->stopping)
    return;
  tx = db_tx(d->m->db, DB_ANY);
  db_q(tx, SQL_buildsets_stop, "");
  db_send(tx, stopped, d);
}

static void members_forgotten(struct db_res *res, void *arg)
{
  struct dispatch *d = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("dispatch", "%s", db_errtext(res));
  else if (!db_err(res) && db_num(res, 0, 0, 0)) {
    log_info("dispatch", "%" PRId64 " members of pools were away for too long, and are forgotten", db_num(res, 0, 0, 0));
    events_kick(d->m->events);
  }
}

static void forget_members(struct dispatch *d)
{
  struct db_tx *tx = db_tx(d->m->db, DB_ANY);

  db_q(tx, SQL_members_forget, "");
  db_send(tx, members_forgotten, d);
}

void dispatch_overdue(uv_timer_t *t)
{
  struct dispatch *d = t->data;
  struct db_tx *tx;

  if (!db_is_up(d->m->db) || d->m->stopping)
    return;
  tx = db_tx(d->m->db, DB_ANY);
  db_q(tx, SQL_builds_overdue, "nnn", d->m->conf->window_ms, d->long_window_ms, clock_mono_ms() - d->shortened_ms - DISPATCH_CLAIM_SLACK_MS);
  db_q(tx, SQL_pauses_over, "");
  db_send(tx, overdue_found, d);
  forget_members(d);
  dispatch_ended_badly(d);
  dispatch_cancelled(d);
}
