/* The beginning of builds: several claims, each with its build's first step, in one transaction. */
#include <assert.h>
#include <stdlib.h>

#include "common/list.h"
#include "master/conf/pipeline.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/run_int.h"
#include "master/dispatch/run_locks.h"
#include "master/workers/session.h"

struct run_claims {
  struct master *m;
  struct db_tx *tx;
  struct pending *v[RUN_CLAIMS_MAX];
  int n;
};

struct run_claims *run_claims_new(struct master *m)
{
  struct run_claims *c = xcalloc(1, sizeof *c);

  c->m = m;
  c->tx = db_tx(m->db, DB_ANY);
  return c;
}

/* Behind all claims, so that who has rows of locks waits for nothing else. */
static void put_locks(struct run_claims *c)
{
  const char *names[RUN_CLAIMS_MAX * PIPELINE_LOCKS_MAX];
  char *array;
  int n = 0;

  for (int i = 0; i < c->n; i++)
    for (int k = 0; c->v[i]->run->taking && k < c->v[i]->run->ctx.nheld; k++)
      names[n++] = c->v[i]->run->ctx.held[k].lock;
  if (!n)
    return;
  array = db_text_array(names, n);
  db_q(c->tx, SQL_locks_lock, "s", array);
  free(array);
  for (int i = 0; i < c->n; i++) {
    struct run *r = c->v[i]->run;
    if (r->taking)
      db_q(c->tx, SQL_locks_take, "nnns", r->id, (int64_t)0, r->session->worker, r->taking);
    free(r->taking);
    r->taking = NULL;
  }
}

/* Of several the one whose statement was refused. */
static void put_aside(struct run_claims *c, struct db_res *res)
{
  int refused = db_err_stmt(res);

  for (int i = c->n; i-- > 0;)
    if (refused >= c->v[i]->claim_stmt) {
      if (refused == c->v[i]->claim_stmt)
        dispatch_put_aside(c->m->dispatch, c->v[i]->run->request);
      return;
    }
}

static void claims_answered(struct db_res *res, void *arg)
{
  struct run_claims *c = arg;

  put_aside(c, res);
  for (int i = 0; i < c->n; i++)
    run_answered(res, c->v[i]);
  dispatch_claimed(c->m->dispatch, db_err(res) != ERR_OK);
  free(c);
}

int run_claims_count(const struct run_claims *c)
{
  return c->n;
}

void run_claims_send(struct run_claims *c)
{
  if (c->n) {
    put_locks(c);
    db_send(c->tx, claims_answered, c);
  } else {
    db_drop(c->tx);
    free(c);
  }
}

void run_claim(struct run_claims *c, struct session *s, struct run *r, int64_t next_number)
{
  struct db_tx *tx = c->tx;
  struct pending *p = run_pending(r);
  char folder[STEP_PATH_MAX];

  assert(c->n < RUN_CLAIMS_MAX);
  c->v[c->n++] = p;
  p->claim = true;

  r->session = s;
  r->ctx.fresh = true;
  r->ctx.number = next_number;
  r->ctx.cores = s->cores;
  r->ctx.locks = r->def->locks;
  r->ctx.nlocks = r->def->nlocks;
  r->ctx.reports = session_has(s, SESSION_REPORTS);
  run_limits(r);
  r->epoch = (struct id){ r->m->incarnation, 1 };
  sm_init(&r->sm, r->name, run_rows, RUN_STATES, RUN_TX);
  log_end_init(&r->log, 0, r->epoch, 0, 0, 0);
  list_push(&s->runs, &r->node);
  step_folder(r->ctx.project, r->ctx.builder, r->ctx.slot, folder);
  p->claim_stmt = db_count(tx);
  db_q(tx, SQL_claim, "nnnnnnnsns", s->worker, s->number, r->request, next_number, r->m->incarnation, (int64_t)r->ctx.slot, r->m->id, r->name, r->id, folder);
  r->number = 1;
  run_begin_step(r, tx);
  run_walk(r, tx, p, false);
  r->in_tx = true;
}
