/* Builders that need those of other projects: what a waiting request needs there is asked for once the other project's pipeline is known (db/schema_0022.sql). Rows again: whoever has that
   repository's lease does it, now or after a restart. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/conf_needs.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/waits.h"
#include "master/events/events.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/worlds_int.h"

enum { OVER, DUE, TRIGGER_OVER, TRIGGER_DUE }; /* statements of a look */
enum { REQUEST, NAME, PROJECT, OF, BRANCH, REVISION }; /* columns of asks_due */

struct ask {
  struct worlds *w;
  struct world *p;     /* of the project that is needed; held, or NULL */
  int64_t request;
  char *name, *builder;/* PROJECT/BUILDER, and its second part */
  char *branch, *revision;
};

static void ask_free(struct ask *a)
{
  if (a->p)
    world_drop(a->p);
  free(a->name);
  free(a->builder);
  free(a->branch);
  free(a->revision);
  free(a);
}

void asks_over(struct worlds *w, struct db_res *res, const char *who)
{
  w->in_ask--;
  if (db_err(res) == ERR_FAILED)
    log_error("change", "%s: %s", who, db_errtext(res));
  if (!db_err(res)) {
    events_kick(w->m->events);
    dispatch_kick(w->m->dispatch);
    waits_kick(w->m->waits);
  }
  worlds_after(w);
}

static void answered(struct db_res *res, void *arg)
{
  struct ask *a = arg;
  struct worlds *w = a->w;
  char who[32];

  snprintf(who, sizeof who, "r%" PRId64, a->request);
  ask_free(a);
  asks_over(w, res, who);
}

static void later(struct ask *a, const char *why)
{
  struct db_tx *tx = db_tx(a->w->m->db, DB_ANY);

  db_q(tx, SQL_ask_later, "nss", a->request, a->name, why);
  db_send(tx, answered, a);
}

/* why is freed. */
static void refuse(struct ask *a, char *why)
{
  struct db_tx *tx = db_tx(a->w->m->db, DB_ANY);

  log_warn("change", "r%" PRId64 " needs %s: %s", a->request, a->name, why);
  db_q(tx, SQL_ask_refuse, "nss", a->request, a->name, why);
  db_send(tx, answered, a);
  free(why);
}

static void pipeline_here(const struct world_pipe *r, void *arg)
{
  struct ask *a = arg;
  const char *names[PIPELINE_COMBINATIONS_MAX];
  const struct pipe_builder *wanted;
  struct buf builders;
  struct db_tx *tx;
  char *array;
  int n;

  if (a->p->gone) { /* it stays due: for the project as it is now */
    a->w->in_ask--;
    ask_free(a);
    return;
  }
  if (r->err && err_class(r->err) == ERR_CLASS_RETRY) {
    later(a, r->why);
    return;
  }
  if (r->err) {
    refuse(a, xasprintf("it needs %s, and the pipeline there can't be read at %.12s of %s: %s", a->name, a->revision, a->branch, r->why));
    return;
  }
  wanted = pipeline_named(pipes_of(r->pipe), a->builder, &n);
  if (!wanted) {
    refuse(a, xasprintf("it needs %s, and there is no such builder at %.12s of %s", a->name, a->revision, a->branch));
    return;
  }
  for (int i = 0; i < n; i++)
    names[i] = wanted[i].name;
  array = db_text_array(names, n);
  buf_init(&builders, BUF_NO_MAX);
  decide_builders(pipes_of(r->pipe), (char *const *)(uintptr_t)names, n, &builders);
  tx = db_tx(a->w->m->db, DB_ANY);
  db_q(tx, SQL_ask_answer, "nsnsssnnss", a->request, a->name, a->p->id, world_repository(a->p), a->branch, a->revision, r->pipe_id, a->w->m->config_version, array, buf_str(&builders));
  buf_free(&builders);
  free(array);
  db_send(tx, answered, a);
}

static void begin(struct worlds *w, const struct db_res *res, int row)
{
  struct world *p = worlds_find(w, db_str(res, DUE, row, PROJECT));
  struct ask *a;
  char *no;

  if (p && (!p->id || (!p->pipe_id && !world_reads(p))))
    return; /* soon, or another master */
  a = xcalloc(1, sizeof *a);
  *a = (struct ask){ .w = w, .p = p ? world_hold(p) : NULL, .request = db_num(res, DUE, row, REQUEST), .name = xstrdup(db_str(res, DUE, row, NAME)),
                     .branch = xstrdup(db_str(res, DUE, row, BRANCH)), .revision = xstrdup(db_str(res, DUE, row, REVISION)) };
  a->builder = xstrdup(strchr(a->name, '/') + 1);
  w->in_ask++;
  no = conf_need_refused(w->m->conf, db_str(res, DUE, row, OF), db_str(res, DUE, row, PROJECT), a->builder);
  if (no) {
    refuse(a, xasprintf("it needs %s, and %s", a->name, no));
    free(no);
  } else if (!*a->revision) {
    later(a, "no branch has been seen there yet");
  } else {
    worlds_pipeline(w, p, a->branch, a->revision, pipeline_here, a);
  }
}

static void due_here(struct db_res *res, void *arg)
{
  struct worlds *w = arg;

  w->asking = false;
  if (w->m->stopping)
    return;
  if (db_err(res)) {
    if (db_err(res) == ERR_FAILED)
      log_error("change", "%s", db_errtext(res));
    return;
  }
  for (int i = 0; i < db_rows(res, DUE); i++)
    begin(w, res, i);
  abroad_begin(w, res, TRIGGER_DUE);
}

void asks_look(struct worlds *w, const char *ours, const char *read)
{
  struct db_tx *tx;

  if (w->asking || w->in_ask)
    return;
  w->asking = true;
  tx = db_tx(w->m->db, DB_ANY);
  db_q(tx, SQL_asks_over, "");
  db_q(tx, SQL_asks_due, "ss", ours, read);
  db_q(tx, SQL_trigger_over, "");
  db_q(tx, SQL_trigger_due, "ss", ours, read);
  db_send(tx, due_here, w);
}
