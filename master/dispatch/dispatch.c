/* From pending requests to builds. One look at a time: read what is pending, choose workers (choose.c), send the claims; each claim is one transaction that either takes request, number and
   slot, or nothing. Builds whose worker stayed away too long are given up here too. */
#include "master/dispatch/dispatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/map.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/choose.h"
#include "master/dispatch/pauses.h"
#include "master/dispatch/pipes.h"
#include "master/dispatch/run.h"
#include "master/dispatch/why.h"
#include "master/events/events.h"
#include "master/workers/session.h"

enum { PENDING, PAUSES }; /* statements of a look */
enum { DISPATCH_LOOK_MIN = 16, DISPATCH_LOOK_MAX = RUN_CLAIMS_MAX, DISPATCH_OVERDUE_MS = 5000, DISPATCH_FAILED_MS = 100, DISPATCH_WORKERS_MAX = 4096 };

struct dispatch {
  struct master *m;
  uv_idle_t turn;
  uv_timer_t safety, overdue;
  int handles;
  bool looking, claiming, again;
  int limit;           /* of the look under way */
  int loading;         /* pipelines on their way */
  struct map *claimed; /* requests with a run whose claim is not answered yet */
  int64_t long_window_ms, shortened_ms; /* builds that started before (clock_mono_ms) have at least this window; 0: none */
  struct pauses *pauses; /* as of the last look */
  bool repause;        /* somebody has changed them */
  struct map *numbers; /* builder → next number, while claims of it are in flight; values are numbers */
};

static void look(struct dispatch *d);
static void on_safety(uv_timer_t *t);

const struct pauses *dispatch_pauses(const struct master *m)
{
  static const struct pauses none;

  return m->dispatch ? m->dispatch->pauses : &none; /* while the master stops */
}

/* ---- workers as choose.c sees them ---- */

static int gather(struct master *m, struct choose_worker *w, struct session **of, int max)
{
  int n = 0;

  list_each(it, sessions_list(m->sessions)) {
    struct session *s = list_of(it, struct session, node);
    if (!session_ready(s) || n == max)
      continue;
    w[n] = (struct choose_worker){ s->name, (const char *const *)s->tags, s->ntags, s->slots, session_runs(s), work_is_low(s), pauses_of(dispatch_pauses(m), "worker", s->name) != NULL, false };
    if (of)
      of[n] = s;
    n++;
  }
  return n;
}

/* What differs from builder to builder. Removals are rare: mostly there is nothing to look for. */
static void gather_cleaning(struct choose_worker *w, struct session *const *of, int n, const char *project, const char *builder)
{
  for (int i = 0; i < n; i++)
    w[i].cleaning = map_count(of[i]->work.blocked) && session_slot(of[i], project, builder) < 0;
}

static void why_disk(const struct session *s, struct why *why)
{
  char has[STR_SIZE_MAX], wants[STR_SIZE_MAX], total[STR_SIZE_MAX];
  int64_t min_free = work_min_free(s);
  int n;

  why->kind = "disk";
  n = snprintf(why->text, sizeof why->text, "%.64s has %s free, %s must stay free (min_free)", s->name, str_size_text(s->work.free, has), str_size_text(min_free, wants));
  if (s->work.total >= 0 && s->work.total < min_free)
    snprintf(why->text + n, sizeof why->text - (size_t)n, "; its disk has only %s in all", str_size_text(s->work.total, total));
  else if (s->work.used_up)
    snprintf(why->text + n, sizeof why->text - (size_t)n, "; no unused work folder is left to remove there");
}

void why_pending(struct master *m, const char *project, const char *builder, const char *const *tags, int ntags, struct why *why)
{
  static struct choose_worker w[DISPATCH_WORKERS_MAX];
  static struct session *of[DISPATCH_WORKERS_MAX];
  enum choose_reason reason;
  const struct pause *pause;
  int n = gather(m, w, of, DISPATCH_WORKERS_MAX), which;

  memset(why, 0, sizeof *why);
  if (!db_is_up(m->db)) {
    why->kind = "database";
    snprintf(why->text, sizeof why->text, "the database is away%s%.150s", m->db_why ? ": " : "", m->db_why ? m->db_why : "");
    return;
  }
  pause = pauses_of_builder(dispatch_pauses(m), project, builder);
  gather_cleaning(w, of, n, project, builder);
  choose_worker(w, n, tags, ntags, &reason, &which);
  if (!pause && reason == CHOOSE_PAUSED)
    pause = pauses_of(dispatch_pauses(m), "worker", of[which]->name);
  if (pause) {
    why->kind = "paused";
    snprintf(why->object, sizeof why->object, "%.79s", pause->object);
    pauses_say(pause, why->text, sizeof why->text);
    return;
  }
  switch (reason) {
  case CHOOSE_OK:
    why->kind = "starting";
    snprintf(why->text, sizeof why->text, "about to start");
    break;
  case CHOOSE_NONE_CONNECTED:
    why->kind = "no_worker";
    snprintf(why->text, sizeof why->text, "no worker is connected");
    break;
  case CHOOSE_NO_TAG:
    why->kind = "no_worker";
    snprintf(why->text, sizeof why->text, which < ntags ? "no connected worker has the tag %.60s" : "no connected worker has all the tags it needs",
             which < ntags ? tags[which] : "");
    snprintf(why->object, sizeof why->object, "%.60s", which < ntags ? tags[which] : "");
    break;
  case CHOOSE_FULL: {
    const struct session *s = of[which];
    const struct run *first = list_empty(&s->runs) ? NULL : list_of(s->runs.next, struct run, node);
    why->kind = "slots";
    snprintf(why->object, sizeof why->object, "%.64s", s->name);
    snprintf(why->text, sizeof why->text, "%.64s is full (%d of %d slots: %.100s%s)", s->name, session_runs(s), s->slots,
             first ? first->name : "", session_runs(s) > 1 ? ", …" : "");
    break;
  }
  case CHOOSE_DISK:
    why_disk(of[which], why);
    snprintf(why->object, sizeof why->object, "%.64s", of[which]->name);
    break;
  case CHOOSE_PAUSED: /* told above */
    break;
  case CHOOSE_CLEANING:
    why->kind = "disk";
    snprintf(why->object, sizeof why->object, "%.64s", of[which]->name);
    snprintf(why->text, sizeof why->text, "%.64s is removing its work folder of %.64s/%.64s", of[which]->name, project, builder);
    break;
  }
}

/* ---- claiming ---- */

/* [["debian12","big"],[]]: the different sets of tags of workers with a free slot. Names need no quoting in JSON. */
static void put_tags(const struct session *s, struct buf *sets)
{
  struct buf one;

  buf_init(&one, BUF_NO_MAX);
  for (int i = 0; i < s->ntags; i++)
    buf_addf(&one, "%s\"%s\"", i ? "," : "[", s->tags[i]);
  buf_adds(&one, s->ntags ? "]" : "[]");
  if (!strstr(buf_str(sets), buf_str(&one)))
    buf_addf(sets, "%s%s", sets->len ? "," : "", buf_str(&one));
  buf_free(&one);
}

static int free_slots(struct master *m, struct buf *tags)
{
  int n = 0;

  list_each(it, sessions_list(m->sessions)) {
    struct session *s = list_of(it, struct session, node);
    bool open = session_ready(s) && !work_is_low(s) && !pauses_of(dispatch_pauses(m), "worker", s->name);
    int runs = open ? session_runs(s) : s->slots;
    if (runs >= s->slots)
      continue;
    n += s->slots - runs;
    put_tags(s, tags);
  }
  return n;
}

void dispatch_forget_claim(struct dispatch *d, int64_t request)
{
  if (d)
    map_set_n(d->claimed, (uint64_t)request, NULL);
}

static void pipeline_loaded(bool ok, void *arg)
{
  struct dispatch *d = arg;

  d->loading--;
  if (ok)
    dispatch_kick(d);
}

static void claim(struct dispatch *d, struct run_claims *claims, struct session *s, struct db_res *res, int row, struct pipe_ref *pipe, int64_t number)
{
  struct master *m = d->m;
  struct run *r = xcalloc(1, sizeof *r);
#define NUM(c) db_num(res, 0, row, c)
#define STR(c) db_str(res, 0, row, c)
  r->m = m;
  r->request = NUM(0);
  r->builder_id = NUM(1);
  r->id = NUM(13);
  r->attempts = (int)NUM(6) + 1;
  r->name = xasprintf("%s/%s/%" PRId64, STR(2), STR(3), number);
  r->pipe = pipe;
  r->def = pipeline_builder(pipes_of(pipe), STR(3));
  r->ctx = (struct build_ctx){ .project = xstrdup(STR(2)), .builder = xstrdup(STR(3)), .slot = session_slot(s, STR(2), STR(3)), .repository = xstrdup(STR(8)),
                               .branch = xstrdup(STR(9)), .revision = xstrdup(STR(10)), .properties = xstrdup(STR(11)), .changes = xstrdup(STR(12)),
                               .tag = db_dup(res, 0, row, 14), .pull_request = NUM(15), .ref = db_dup(res, 0, row, 16),
                               .allow_local = m->conf->allow_local, .url = run_url(m, r->name), .alone_ms = dispatch_alone_ms(m) };
  run_patch(r, res, 0, row, 17);
  map_set_n(d->claimed, (uint64_t)r->request, r);
  run_claim(claims, s, r, number);
#undef NUM
#undef STR
}

static void given_up(struct db_res *res, void *arg)
{
  struct master *m = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("dispatch", "%s", db_errtext(res));
  events_kick(m->events);
  dispatch_kick(m->dispatch);
}

static void refuse(struct dispatch *d, int64_t request, const char *why)
{
  struct db_tx *tx = db_tx(d->m->db, DB_ANY);

  log_warn("dispatch", "r%" PRId64 ": %s", request, why);
  db_q(tx, SQL_request_finish, "nns", request, (int64_t)RESULT_EXCEPTION, why);
  db_send(tx, given_up, d->m);
}

/* The number a builder's next build gets: the database's, plus what this look has given out already. */
static int64_t next_number(struct dispatch *d, int64_t builder, int64_t in_database)
{
  uint64_t given = (uint64_t)(uintptr_t)map_get_n(d->numbers, (uint64_t)builder);
  int64_t number = in_database + (int64_t)given;

  map_set_n(d->numbers, (uint64_t)builder, (void *)(uintptr_t)(given + 1));
  return number;
}

/* true: it was dealt with (or waits for its pipeline); false: no worker for it now */
static void one(struct dispatch *d, struct run_claims *claims, struct db_res *res, int row, struct choose_worker *w, struct session **of, int n)
{
  int64_t request = db_num(res, 0, row, 0);
  struct pipe_ref *pipe;
  enum choose_reason why;
  char **tags;
  int ntags, which, at;

  if (map_get_n(d->claimed, (uint64_t)request))
    return;
  tags = db_texts(res, 0, row, 5, &ntags);
  gather_cleaning(w, of, n, db_str(res, 0, row, 2), db_str(res, 0, row, 3));
  at = choose_worker(w, n, (const char *const *)tags, ntags, &why, &which);
  for (int i = 0; i < ntags; i++)
    free(tags[i]);
  free(tags);
  if (at < 0)
    return;
  pipe = pipes_ref(d->m, db_num(res, 0, row, 7), db_str(res, 0, row, 2));
  if (!pipe) {
    d->loading++;
    pipes_load(d->m, db_num(res, 0, row, 7), db_str(res, 0, row, 2), pipeline_loaded, d);
    return;
  }
  if (!pipes_of(pipe) || !pipeline_builder(pipes_of(pipe), db_str(res, 0, row, 3))) {
    pipes_unref(pipe);
    refuse(d, request, "its pipeline has no such builder, or is not valid for this version of the master");
    return;
  }
  claim(d, claims, of[at], res, row, pipe, next_number(d, db_num(res, 0, row, 1), db_num(res, 0, row, 4)));
  w[at].used++;
}

static void looked(struct db_res *res, void *arg)
{
  static struct choose_worker w[DISPATCH_WORKERS_MAX];
  static struct session *of[DISPATCH_WORKERS_MAX];
  struct dispatch *d = arg;
  struct run_claims *claims;
  int n;

  d->looking = false;
  if (db_err(res)) {
    if (db_err(res) == ERR_FAILED)
      log_error("dispatch", "%s", db_errtext(res));
    return;
  }
  pauses_take(d->pauses, res, PAUSES);
  map_free(d->numbers);
  d->numbers = map_new();
  n = gather(d->m, w, of, DISPATCH_WORKERS_MAX);
  claims = run_claims_new(d->m);
  for (int i = 0; i < db_rows(res, PENDING); i++)
    one(d, claims, res, i, w, of, n);
  d->claiming = run_claims_send(claims) > 0;
  if (d->limit && db_rows(res, PENDING) >= d->limit) /* there may be more */
    d->again = true;
  if (!d->claiming)
    dispatch_claimed(d, false);
}

void dispatch_claimed(struct dispatch *d, bool failed)
{
  if (!d)
    return;
  d->claiming = false;
  if (failed) {
    d->again = false;
    uv_timer_start(&d->safety, on_safety, DISPATCH_FAILED_MS, DISPATCH_SAFETY_MS);
    return;
  }
  if (d->again && !d->loading) {
    d->again = false;
    dispatch_kick(d);
  }
}

static void look(struct dispatch *d)
{
  struct db_tx *tx;
  struct buf tags;
  char *sets;
  int slots;

  if (d->looking || d->claiming) { /* numbers and rows are about to change; look when that is done */
    d->again = true;
    return;
  }
  buf_init(&tags, BUF_NO_MAX);
  slots = free_slots(d->m, &tags);
  sets = xasprintf("[%s]", buf_str(&tags));
  buf_free(&tags);
  if ((!slots && !d->repause && !d->pauses->n) || !db_is_up(d->m->db) || d->m->stopping) {
    free(sets);
    return;
  }
  d->repause = false;
  d->limit = !slots ? 0 : slots * 2 < DISPATCH_LOOK_MIN ? DISPATCH_LOOK_MIN : slots * 2 > DISPATCH_LOOK_MAX ? DISPATCH_LOOK_MAX : slots * 2;
  d->looking = true;
  tx = db_tx(d->m->db, DB_ANY);
  db_q(tx, SQL_pending, "ns", (int64_t)d->limit, sets);
  db_q(tx, SQL_pauses, "");
  free(sets);
  db_send(tx, looked, d);
}

void dispatch_pauses_changed(struct dispatch *d)
{
  if (!d)
    return;
  d->repause = true;
  dispatch_kick(d);
}

static void on_turn(uv_idle_t *h)
{
  uv_idle_stop(h);
  look(h->data);
}

void dispatch_kick(struct dispatch *d)
{
  if (d) /* answers that come in while the master stops find none */
    uv_idle_start(&d->turn, on_turn);
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
  db_send(tx, given_up, m);
}

static void overdue_found(struct db_res *res, void *arg)
{
  struct dispatch *d = arg;

  if (db_err(res))
    return;
  for (int i = 0; i < db_rows(res, 0); i++) {
    int64_t build = db_num(res, 0, i, 0), attempts = db_num(res, 0, i, 3);
    bool cancelled = !strcmp(db_str(res, 0, i, 4), "cancelling");
    bool again = !cancelled && attempts < RUN_ATTEMPTS_MAX && strcmp(db_str(res, 0, i, 5), "done");
    struct db_tx *tx = db_tx(d->m->db, (uint64_t)build);
    log_warn("dispatch", "build %" PRId64 " is lost: its worker stayed away longer than %" PRId64 " s", build, db_num(res, 0, i, 6) / 1000);
    db_q(tx, SQL_fence, "nnn", build, db_num(res, 0, i, 1), db_num(res, 0, i, 2));
    db_q(tx, SQL_steps_lost, "nsns", build, "away", (int64_t)RESULT_RETRY, "lost: the worker stayed away too long");
    db_q(tx, SQL_build_finish, "nnslns", build, (int64_t)(cancelled ? RESULT_CANCELLED : RESULT_RETRY), "the worker stayed away too long", (int)again,
         (int64_t)(cancelled ? RESULT_CANCELLED : RESULT_EXCEPTION), NULL);
    db_send(tx, given_up, d->m);
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

static void on_overdue(uv_timer_t *t)
{
  struct dispatch *d = t->data;
  struct db_tx *tx;

  if (!db_is_up(d->m->db) || d->m->stopping)
    return;
  tx = db_tx(d->m->db, DB_ANY);
  db_q(tx, SQL_builds_overdue, "nnn", d->m->conf->window_ms, d->long_window_ms, clock_mono_ms() - d->shortened_ms - DISPATCH_CLAIM_SLACK_MS);
  db_q(tx, SQL_pauses_over, "");
  db_send(tx, overdue_found, d);
  dispatch_ended_badly(d);
  dispatch_cancelled(d);
}

static void on_safety(uv_timer_t *t)
{
  struct dispatch *d = t->data;

  d->repause = true; /* another master may have */
  dispatch_kick(t->data);
}

struct dispatch *dispatch_new(struct master *m)
{
  struct dispatch *d = xcalloc(1, sizeof *d);

  d->m = m;
  d->claimed = map_new();
  d->numbers = map_new();
  d->pauses = xcalloc(1, sizeof *d->pauses);
  uv_idle_init(m->loop, &d->turn);
  uv_timer_init(m->loop, &d->safety);
  uv_timer_init(m->loop, &d->overdue);
  d->turn.data = d->safety.data = d->overdue.data = d;
  d->handles = 3;
  uv_timer_start(&d->safety, on_safety, DISPATCH_SAFETY_MS, DISPATCH_SAFETY_MS);
  uv_timer_start(&d->overdue, on_overdue, DISPATCH_OVERDUE_MS, DISPATCH_OVERDUE_MS);
  return d;
}

static void closed(uv_handle_t *h)
{
  struct dispatch *d = h->data;

  if (--d->handles)
    return;
  map_free(d->claimed);
  map_free(d->numbers);
  pauses_free(d->pauses);
  free(d);
}

void dispatch_free(struct dispatch *d)
{
  d->m->dispatch = NULL;
  uv_close((uv_handle_t *)&d->turn, closed);
  uv_close((uv_handle_t *)&d->safety, closed);
  uv_close((uv_handle_t *)&d->overdue, closed);
}
