#include "master/dispatch/eta_now.h"

#include <stdlib.h>
#include <string.h>

#include "master/conf/pipeline.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/field.h"
#include "master/dispatch/lockbook_rows.h"
#include "master/dispatch/row_worker.h"
#include "master/dispatch/wanted.h"
#include "master/workers/session.h"

enum { RUNS, WORKERS, LOCKS, HOLDS }; /* statements */

/* A worker of this master or of another one; slots 0: it takes nothing now. */
struct place {
  int64_t id;
  struct worker_is is;
  int slots;
};

struct eta_now {
  struct master *m;
  struct field field;
  struct place *places;
  struct row_worker *others; /* of other masters, what their places point to */
  int nplaces, nothers;
  struct eta_run *runs;
  struct eta_lock *locks;
  const struct db_res *res; /* for the names of locks */
  int lock_stmt;
  struct eta_hold *holds;
  int *slots;
  struct eta_wait *queue;   /* workers and locks of each are its own */
  struct eta_begin *begins;
  int nruns, nlocks, nholds, nqueue;
};

void eta_now_ask(struct db_tx *tx, const struct master *m, int64_t request)
{
  db_q(tx, SQL_api_queue_runs, "N", request);
  db_q(tx, SQL_eta_workers, "n", m->id);
  db_q(tx, SQL_lock_rows, "");
  db_q(tx, SQL_eta_holds, "");
}

static struct eta_takes read_takes(const char *text)
{
  struct eta_takes t;
  char *end = (char *)(uintptr_t)text;

  for (int k = 0; k < ETA_CASES; k++) {
    const char *from = end;
    t.ms[k] = strtoll(from, &end, 10);
    if (end == from)
      return (struct eta_takes){ { -1, -1, -1 } };
  }
  return t;
}

/* ---- workers ---- */

static void take_places(struct eta_now *e, const struct db_res *res, int stmt)
{
  field_gather(&e->field, e->m);
  e->places = xcalloc((size_t)(e->field.n + db_rows(res, stmt)) + 1, sizeof *e->places);
  for (int i = 0; i < e->field.n; i++)
    e->places[e->nplaces++] = (struct place){ .id = e->field.of[i]->worker, .is = e->field.w[i].is, .slots = field_takes(&e->field.w[i]) ? e->field.w[i].is.slots : 0 };
  e->others = xcalloc((size_t)db_rows(res, stmt) + 1, sizeof *e->others);
  for (int i = 0; i < db_rows(res, stmt); i++) {
    struct row_worker *w = &e->others[e->nothers++];
    row_worker_read(w, e->m, res, stmt, i);
    e->places[e->nplaces++] = (struct place){ .id = w->id, .is = w->is, .slots = w->takes ? w->is.slots : 0 };
  }
}

static int place_of(const struct eta_now *e, int64_t worker)
{
  for (int i = 0; i < e->nplaces; i++)
    if (e->places[i].id == worker)
      return i;
  return -1;
}

/* Builds on workers that take nothing more count for nothing. */
static void take_runs(struct eta_now *e, const struct db_res *res, int stmt)
{
  enum { WORKER, RAN, TAKES };

  e->runs = xcalloc((size_t)db_rows(res, stmt) + 1, sizeof *e->runs);
  for (int i = 0; i < db_rows(res, stmt); i++) {
    int at = place_of(e, db_num(res, stmt, i, WORKER));
    if (at >= 0 && e->places[at].slots)
      e->runs[e->nruns++] = (struct eta_run){ at, db_num(res, stmt, i, RAN), read_takes(db_str(res, stmt, i, TAKES)) };
  }
}

/* ---- locks ---- */

static void take_locks(struct eta_now *e, const struct db_res *res, int stmt)
{
  enum { ID, NAME, COUNT_OF, UNITS, PER_WORKER, GONE };

  e->res = res;
  e->lock_stmt = stmt;
  e->nlocks = db_rows(res, stmt);
  e->locks = xcalloc((size_t)e->nlocks + 1, sizeof *e->locks);
  for (int i = 0; i < e->nlocks; i++)
    e->locks[i] = (struct eta_lock){ db_num(res, stmt, i, GONE) ? 0 : (int)db_num(res, stmt, i, COUNT_OF), db_num(res, stmt, i, PER_WORKER) != 0 };
}

static int lock_named(const struct eta_now *e, const char *name)
{
  for (int i = 0; i < e->nlocks; i++)
    if (!strcmp(db_str(e->res, e->lock_stmt, i, 1), name))
      return i;
  return -1;
}

static void take_holds(struct eta_now *e, const struct db_res *res, int stmt)
{
  enum { LOCK, WORKER, N, RAN, TAKES };

  e->holds = xcalloc((size_t)db_rows(res, stmt) + 1, sizeof *e->holds);
  for (int i = 0; i < db_rows(res, stmt); i++) {
    int lock = lock_named(e, db_str(res, stmt, i, LOCK));
    if (lock >= 0)
      e->holds[e->nholds++] = (struct eta_hold){ { lock, (int)db_num(res, stmt, i, N) }, place_of(e, db_num(res, stmt, i, WORKER)), db_num(res, stmt, i, RAN), read_takes(db_str(res, stmt, i, TAKES)) };
  }
}

/* False: there is no such lock, so nobody gets it. */
static bool read_locks_wanted(const struct eta_now *e, const char *json, struct eta_wait *w)
{
  cJSON *list = *json ? cJSON_Parse(json) : NULL;
  struct eta_lock_want *wants = xcalloc(PIPELINE_LOCKS_MAX, sizeof *wants);
  const cJSON *it;
  const char *name;
  int n;
  bool there = true;

  cJSON_ArrayForEach(it, list)
    if (lock_want_of(it, &name, &n) && w->nlocks < PIPELINE_LOCKS_MAX) {
      wants[w->nlocks] = (struct eta_lock_want){ lock_named(e, name), n };
      there = there && wants[w->nlocks++].lock >= 0;
    }
  cJSON_Delete(list);
  w->locks = wants;
  return there;
}

/* ---- the queue ---- */

struct eta_now *eta_now_new(struct master *m, const struct db_res *res, int stmt)
{
  struct eta_now *e = xcalloc(1, sizeof *e);

  e->m = m;
  take_places(e, res, stmt + WORKERS);
  take_runs(e, res, stmt + RUNS);
  take_locks(e, res, stmt + LOCKS);
  take_holds(e, res, stmt + HOLDS);
  e->slots = xcalloc((size_t)e->nplaces + 1, sizeof *e->slots);
  for (int i = 0; i < e->nplaces; i++)
    e->slots[i] = e->places[i].slots;
  e->queue = xcalloc(ETA_QUEUE_MAX, sizeof *e->queue);
  return e;
}

void eta_now_free(struct eta_now *e)
{
  for (int i = 0; i < e->nqueue; i++) {
    free((void *)(uintptr_t)e->queue[i].workers);
    free((void *)(uintptr_t)e->queue[i].locks);
  }
  for (int i = 0; i < e->nothers; i++)
    row_worker_free(&e->others[i]);
  free(e->others);
  free(e->places);
  free(e->slots);
  free(e->runs);
  free(e->locks);
  free(e->holds);
  free(e->queue);
  free(e->begins);
  free(e);
}

/* Those that could take it, were a slot free. */
static int *could(struct eta_now *e, const struct why_of *of, int *n)
{
  const struct want_term **terms = wanted_terms(e->m, of);
  int *set = xcalloc((size_t)e->nplaces + 1, sizeof *set);

  *n = 0;
  for (int i = 0; i < e->nplaces; i++)
    if (e->places[i].slots && choose_has_tags(&e->places[i].is, of->tags, of->ntags) && want_all_met(terms, of->nwants, &e->places[i].is))
      set[(*n)++] = i;
  free(terms);
  return set;
}

void eta_now_waits(struct eta_now *e, const struct why_of *of, const char *takes, const char *locks)
{
  struct eta_wait *w;

  if (e->nqueue == ETA_QUEUE_MAX)
    return;
  w = &e->queue[e->nqueue++];
  w->takes = read_takes(takes);
  w->workers = could(e, of, &w->n);
  if (!read_locks_wanted(e, locks, w))
    w->n = w->nlocks = 0;
}

void eta_now_reckon(struct eta_now *e)
{
  struct eta_site site = { e->slots, e->nplaces, e->runs, e->nruns, e->locks, e->nlocks, e->holds, e->nholds };

  e->begins = xcalloc((size_t)e->nqueue + 1, sizeof *e->begins);
  eta_reckon(&site, e->queue, e->nqueue, e->begins);
}

const struct eta_begin *eta_now_get(const struct eta_now *e, int n)
{
  return n < e->nqueue && e->begins[n].ms[ETA_LIKELY] >= 0 ? &e->begins[n] : NULL;
}
