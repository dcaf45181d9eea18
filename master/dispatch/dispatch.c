/* From pending requests to builds. One look at a time: read what is pending, choose workers (choose.c), send the claims; each claim is one transaction that either takes request, number and
   slot, or nothing. Builds that are to end, or are lost: ends.c. */
#include "master/dispatch/dispatch_int.h"

#include <cjson/cJSON.h>
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
#include "master/dispatch/field.h"
#include "master/dispatch/lockbook_rows.h"
#include "master/dispatch/pauses.h"
#include "master/dispatch/pipes.h"
#include "master/dispatch/reasons.h"
#include "master/dispatch/run.h"
#include "master/dispatch/run_locks.h"
#include "master/dispatch/run_stamps.h"
#include "master/dispatch/wanted.h"
#include "master/events/events.h"
#include "master/workers/session.h"

enum { PENDING, PAUSES, QUARANTINES }; /* statements of a look */
enum { DISPATCH_LOCKS_MS = 1000, DISPATCH_LOCKS_TOLD_MS = 4000 }; /* looks at least so often while somebody waits for a lock, which another master may free; tells so often that it still waits */
enum { DISPATCH_LOOK_MIN = 16, DISPATCH_LOOK_MAX = RUN_CLAIMS_MAX, DISPATCH_OVERDUE_MS = 5000, DISPATCH_FAILED_MS = 100 };

enum { PENDING_WANTS = 20, PENDING_WARM = 23, PENDING_SPOILT, PENDING_NEEDED }; /* columns of `pending` */

static void look(struct dispatch *d);
static void on_safety(uv_timer_t *t);

const struct pauses *dispatch_pauses(const struct master *m)
{
  static const struct pauses none;

  return m->dispatch ? m->dispatch->pauses : &none; /* while the master stops */
}

const struct pauses *dispatch_quarantines(const struct master *m)
{
  static const struct pauses none;

  return m->dispatch ? m->dispatch->quarantines : &none;
}

const struct want_term *dispatch_want(struct master *m, const char *text)
{
  static const struct want_term none = { .text = "" };

  return m->dispatch ? wants_get(m->dispatch->wants, text) : &none;
}

/* ---- claiming ---- */

/* What the worker can take: {"t": ["debian12", "big"], "m": ["memory >= 8G"]}, its tags and those of the known conditions that it meets. */
static cJSON *takes(struct dispatch *d, const struct session *s)
{
  struct worker_is is = field_is(s);
  cJSON *o = cJSON_CreateObject(), *met;
  const struct want_term *t;
  size_t at = 0;

  cJSON_AddItemToObject(o, "t", cJSON_CreateStringArray(is.tags, is.ntags));
  met = cJSON_AddArrayToObject(o, "m");
  while ((t = wants_next(d->wants, &at)))
    if (want_met(t, &is))
      cJSON_AddItemToArray(met, cJSON_CreateString(t->text));
  return o;
}

static bool is_among(const cJSON *list, const cJSON *o)
{
  const cJSON *it;

  cJSON_ArrayForEach(it, list)
    if (cJSON_Compare(it, o, true))
      return true;
  return false;
}

/* What workers with a free slot can take, each kind of them once; how many slots are free. */
static int free_slots(struct dispatch *d, cJSON *kinds)
{
  int n = 0;

  list_each(it, sessions_list(d->m->sessions)) {
    struct session *s = list_of(it, struct session, node);
    struct choose_worker w = field_one(s, d->m);
    int runs = session_ready(s) && field_takes(&w) ? w.used : s->slots;
    cJSON *o;
    if (runs >= s->slots)
      continue;
    n += s->slots - runs;
    o = takes(d, s);
    if (is_among(kinds, o))
      cJSON_Delete(o);
    else
      cJSON_AddItemToArray(kinds, o);
  }
  return n;
}

/* The conditions that are known, as JSON; the caller frees it. */
static char *known_wants(const struct dispatch *d)
{
  cJSON *list = cJSON_CreateArray();
  const struct want_term *t;
  size_t at = 0;
  char *text;

  while ((t = wants_next(d->wants, &at)))
    cJSON_AddItemToArray(list, cJSON_CreateString(t->text));
  text = cJSON_PrintUnformatted(list);
  cJSON_Delete(list);
  return text;
}

void dispatch_forget_claim(struct dispatch *d, int64_t request)
{
  if (d)
    map_set_n(d->claimed, (uint64_t)request, NULL);
}

void dispatch_put_aside(struct dispatch *d, int64_t request)
{
  if (d)
    aside_put(&d->aside, request, clock_mono_ms());
}

static void pipeline_loaded(bool ok, void *arg)
{
  struct dispatch *d = arg;

  d->loading--;
  if (ok)
    dispatch_kick(d);
}

static void claim(struct dispatch *d, struct run_claims *claims, struct session *s, struct db_res *res, int row, struct pipe_ref *pipe, int64_t number, const struct lock_waiter *locks)
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
                               .allow_local = m->conf->allow_local, .fork = NUM(19) != 0, .url = run_url(m, r->name), .alone_ms = dispatch_alone_ms(m),
                               .needed = db_dup(res, 0, row, PENDING_NEEDED) };
  run_patch(r, res, 0, row, 17);
  r->ctx.vcs = run_vcs(STR(21));
  run_stamps_read(r, STR(22), "");
  if (locks)
    run_locks_put(r, &d->book, locks);
  map_set_n(d->claimed, (uint64_t)r->request, r);
  run_claim(claims, s, r, number);
#undef NUM
#undef STR
}

static void refuse(struct dispatch *d, int64_t request, const char *why)
{
  struct db_tx *tx = db_tx(d->m->db, DB_ANY);

  log_warn("dispatch", "r%" PRId64 ": %s", request, why);
  db_q(tx, SQL_request_finish, "nns", request, (int64_t)RESULT_EXCEPTION, why);
  db_send(tx, dispatch_given_up, d->m);
}

/* The number a builder's next build gets: the database's, plus what this look has given out already. */
static int64_t next_number(struct dispatch *d, int64_t builder, int64_t in_database)
{
  uint64_t given = (uint64_t)(uintptr_t)map_get_n(d->numbers, (uint64_t)builder);
  int64_t number = in_database + (int64_t)given;

  map_set_n(d->numbers, (uint64_t)builder, (void *)(uintptr_t)(given + 1));
  return number;
}

static int64_t db_opt(const struct db_res *res, int row, int col)
{
  return db_null(res, PENDING, row, col) ? INT64_MIN : db_num(res, PENDING, row, col);
}

/* A worker for it, of those from `from` on, n of them; -1: there is none now. field_for was called. */
static int choose(struct dispatch *d, const struct why_of *of, const struct field *f, int from, int n)
{
  const struct want_term **terms = wanted_terms(d->m, of);
  enum choose_reason why;
  int which, at;

  at = choose_worker(f->w + from, n, &(struct choose_want){ of->tags, of->ntags, terms, of->nwants }, &why, &which);
  free(terms);
  return at < 0 ? -1 : from + at;
}

/* The only worker on which its locks are free. */
static int choose_for_locks(struct dispatch *d, const struct why_of *of, const struct field *f, const struct lock_waiter *locks)
{
  for (int i = 0; i < f->n; i++)
    if (f->of[i]->worker == locks->workers[locks->worker])
      return choose(d, of, f, i, 1);
  return -1;
}

static int choose_of_row(struct dispatch *d, struct db_res *res, int row, struct field *f, const struct lock_waiter *locks)
{
  struct wanted w;
  int at;

  wanted_row(&w, res, PENDING, row, (struct wanted_cols){ 2, 3, 5, PENDING_WANTS });
  field_for(f, w.of.project, w.of.builder, (struct field_past){ db_opt(res, row, PENDING_WARM), db_opt(res, row, PENDING_SPOILT) });
  at = locks ? choose_for_locks(d, &w.of, f, locks) : choose(d, &w.of, f, 0, f->n);
  wanted_free(&w);
  return at;
}

/* What it may have of the locks it wants; NULL: it wants none. */
static const struct lock_waiter *locks_of(const struct dispatch *d, int64_t request)
{
  const struct lock_waiter *w = d->book.nwaiters ? lockbook_waiter(&d->book, request) : NULL;

  return w && !w->step && w->worker >= 0 ? w : NULL;
}

static void one(struct dispatch *d, struct run_claims *claims, struct run_claims *locked, struct db_res *res, int row, struct field *f)
{
  int64_t request = db_num(res, 0, row, 0);
  const struct lock_waiter *locks = locks_of(d, request);
  struct pipe_ref *pipe;
  int at;

  if (map_get_n(d->claimed, (uint64_t)request))
    return;
  at = choose_of_row(d, res, row, f, locks);
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
  claim(d, locks ? locked : claims, f->of[at], res, row, pipe, next_number(d, db_num(res, 0, row, 1), db_num(res, 0, row, 4)), locks);
  f->w[at].used++;
}

/* Then as often as it looks in any case: for requests of other masters whose hints were lost. */
static void look_after(struct dispatch *d, int64_t ms)
{
  uv_timer_start(&d->safety, on_safety, (uint64_t)ms, (uint64_t)d->m->conf->look_ms / CONF_LOOKS_DISPATCH);
}

static void looked(struct db_res *res, void *arg)
{
  static struct field f;
  struct dispatch *d = arg;
  struct run_claims *claims, *locked; /* of their own: somebody may be faster with a lock, and that must not undo the others */
  size_t known = wants_count(d->wants);
  int64_t left = aside_left_ms(&d->aside, clock_mono_ms());

  d->looking = false;
  if (db_err(res)) {
    if (db_err(res) == ERR_FAILED)
      log_error("dispatch", "%s", db_errtext(res));
    return;
  }
  d->again |= pauses_take(d->pauses, res, PAUSES); /* what was asked for is what workers could take that were not paused */
  d->again |= pauses_take(d->quarantines, res, QUARANTINES);
  map_free(d->numbers);
  d->numbers = map_new();
  field_gather(&f, d->m);
  claims = run_claims_new(d->m);
  locked = run_claims_new(d->m);
  for (int i = 0; i < db_rows(res, PENDING); i++)
    one(d, claims, locked, res, i, &f);
  d->claiming = (run_claims_count(claims) > 0) + (run_claims_count(locked) > 0);
  d->again |= d->claiming && d->book.nwaiters; /* a slot may have gone to another request than the one that comes first in a line */
  run_claims_send(claims);
  run_claims_send(locked);
  if (left >= 0)
    look_after(d, left + 1);
  if ((d->limit && db_rows(res, PENDING) >= d->limit) || wants_count(d->wants) > known) /* there may be more; or some came only because nobody had looked at what they want */
    d->again = true;
  if (!d->claiming)
    dispatch_claimed(d, false);
}

void dispatch_look_soon(struct dispatch *d)
{
  if (d)
    look_after(d, DISPATCH_FAILED_MS);
}

void dispatch_claimed(struct dispatch *d, bool failed)
{
  if (!d)
    return;
  d->claiming -= d->claiming > 0;
  if (failed) {
    d->again = false;
    dispatch_look_soon(d);
    return;
  }
  if (d->again && !d->loading && !d->claiming) {
    d->again = false;
    dispatch_kick(d);
  }
}

/* {"libfoo": 3}: the shares of projects that have another one than 1. */
static char *shares_of(const struct conf *c)
{
  cJSON *o = cJSON_CreateObject();
  char *text;

  for (int i = 0; i < c->nprojects; i++)
    if (c->projects[i].share != 1)
      cJSON_AddNumberToObject(o, c->projects[i].name, c->projects[i].share);
  text = cJSON_PrintUnformatted(o);
  cJSON_Delete(o);
  return text;
}

static void ask_pending(struct dispatch *d, const char *allowed)
{
  struct db_tx *tx = db_tx(d->m->db, DB_ANY);
  char *shares = shares_of(d->m->conf), *aside = aside_text(&d->aside, clock_mono_ms());

  db_q(tx, SQL_pending, "nsssss", (int64_t)d->limit, d->takes, d->known, allowed, shares, aside);
  free(aside);
  db_q(tx, SQL_pauses, "");
  db_q(tx, SQL_quarantines, "");
  free(shares);
  db_send(tx, looked, d);
}

/* Workers that could take it now, for a place in a line. */
static int could(void *arg, const struct why_of *of, bool all, int64_t **workers)
{
  static struct field f;
  struct dispatch *d = arg;
  int found = 0;

  field_gather(&f, d->m);
  field_for(&f, of->project, of->builder, (struct field_past){ INT64_MIN, INT64_MIN });
  *workers = xcalloc((size_t)f.n + 1, sizeof **workers);
  for (int best; (all || !found) && (best = choose(d, of, &f, 0, f.n)) >= 0; f.w[best].used = f.w[best].is.slots)
    (*workers)[found++] = f.of[best]->worker;
  return found;
}

/* Other masters must know who is in line here, since they can't see which workers this one has. */
static void tell_waiting(struct dispatch *d)
{
  char *now = lockbook_waiting(&d->book);
  bool any = strcmp(now, "[]"), same = str_eq(now, d->waiting ? d->waiting : "[]");

  if (!same || (any && clock_mono_ms() - d->told_ms >= DISPATCH_LOCKS_TOLD_MS)) {
    struct db_tx *tx = db_tx(d->m->db, DB_ANY);
    db_q(tx, SQL_locks_waited, "ns", d->m->id, now);
    db_send(tx, NULL, NULL);
    d->told_ms = clock_mono_ms();
  }
  free(d->waiting);
  d->waiting = now;
  if (any || run_locks_any_waits(d->m))
    look_after(d, DISPATCH_LOCKS_MS);
}

static void locks_looked(struct db_res *res, void *arg)
{
  struct dispatch *d = arg;
  char *allowed;

  if (db_err(res)) {
    d->looking = false;
    if (db_err(res) == ERR_FAILED)
      log_error("dispatch", "%s", db_errtext(res));
    return;
  }
  lockbook_take(&d->book, res, 0, could, d);
  lockbook_line(&d->book);
  for (int i = 0; i < d->book.nwaiters; i++)
    if (d->book.waiters[i].step && d->book.waiters[i].worker >= 0)
      run_locks_granted(d->m, &d->book, &d->book.waiters[i]);
  tell_waiting(d);
  allowed = lockbook_allowed(&d->book);
  ask_pending(d, allowed);
  free(allowed);
}

static void ask(struct dispatch *d, int slots, const cJSON *kinds)
{
  struct db_tx *tx;

  free(d->takes);
  free(d->known);
  d->takes = cJSON_PrintUnformatted(kinds);
  d->known = known_wants(d);
  d->repause = false;
  d->limit = !slots ? 0 : slots * 2 < DISPATCH_LOOK_MIN ? DISPATCH_LOOK_MIN : slots * 2 > DISPATCH_LOOK_MAX ? DISPATCH_LOOK_MAX : slots * 2;
  d->looking = true;
  if (!d->m->conf->nlocks) {
    lockbook_clear(&d->book);
    ask_pending(d, "{}");
    return;
  }
  tx = db_tx(d->m->db, DB_ANY);
  lockbook_ask(tx, d->takes, d->known, d->m->id);
  db_send(tx, locks_looked, d);
}

const struct lockbook *dispatch_locks(const struct master *m)
{
  static const struct lockbook none;

  return m->dispatch ? &m->dispatch->book : &none; /* while the master stops */
}

static void look(struct dispatch *d)
{
  cJSON *kinds;
  int slots;

  reasons_kick(d->m->reasons);
  if (d->looking || d->claiming) { /* numbers and rows are about to change; look when that is done */
    d->again = true;
    return;
  }
  wants_trim(d->wants);
  kinds = cJSON_CreateArray();
  slots = free_slots(d, kinds);
  if ((slots || d->repause || d->pauses->n || d->quarantines->n || run_locks_any_waits(d->m)) && db_is_up(d->m->db) && !d->m->stopping)
    ask(d, slots, kinds);
  cJSON_Delete(kinds);
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
  d->quarantines = xcalloc(1, sizeof *d->quarantines);
  d->wants = wants_new();
  uv_idle_init(m->loop, &d->turn);
  uv_timer_init(m->loop, &d->safety);
  uv_timer_init(m->loop, &d->overdue);
  d->turn.data = d->safety.data = d->overdue.data = d;
  d->handles = 3;
  look_after(d, m->conf->look_ms / CONF_LOOKS_DISPATCH);
  uv_timer_start(&d->overdue, dispatch_overdue, DISPATCH_OVERDUE_MS, DISPATCH_OVERDUE_MS);
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
  pauses_free(d->quarantines);
  wants_free(d->wants);
  lockbook_clear(&d->book);
  free(d->takes);
  free(d->known);
  free(d->waiting);
  free(d);
}

void dispatch_free(struct dispatch *d)
{
  d->m->dispatch = NULL;
  uv_close((uv_handle_t *)&d->turn, closed);
  uv_close((uv_handle_t *)&d->safety, closed);
  uv_close((uv_handle_t *)&d->overdue, closed);
}
