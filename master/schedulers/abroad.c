/* Builds that steps trigger in other projects, or on other branches: asked for once the pipeline there is known (db/schema_0030.sql). Rows, as in asks.c: whoever has the lease of the repository there
   does it, now or after a restart. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/conf_needs.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/worlds_int.h"

enum { STEP, NUMBER, BUILD, PROJECT, OWN, BUILDERS, BRANCH, REVISION, ASKED, SEEN }; /* columns of trigger_due */

struct ask {
  struct worlds *w;
  struct world *p;     /* of the project where it is built; held, or NULL */
  int64_t step, number;/* of the row */
  char *build;         /* whose step it is, for people */
  char **builders;
  int nbuilders;
  char *branch, *revision;
};

static void ask_free(struct ask *a)
{
  if (a->p)
    world_drop(a->p);
  for (int i = 0; i < a->nbuilders; i++)
    free(a->builders[i]);
  free(a->builders);
  free(a->build);
  free(a->branch);
  free(a->revision);
  free(a);
}

static void answered(struct db_res *res, void *arg)
{
  struct ask *a = arg;
  struct worlds *w = a->w;
  char *who = xasprintf("what %s triggers", a->build);

  ask_free(a);
  asks_over(w, res, who);
  free(who);
}

static void later(struct ask *a, const char *why)
{
  struct db_tx *tx = db_tx(a->w->m->db, DB_ANY);

  db_q(tx, SQL_trigger_later, "nns", a->step, a->number, why);
  db_send(tx, answered, a);
}

/* why is freed. */
static void refuse(struct ask *a, char *why)
{
  struct db_tx *tx = db_tx(a->w->m->db, DB_ANY);

  log_warn("change", "%s triggers nothing: %s", a->build, why);
  db_q(tx, SQL_trigger_refuse, "nns", a->step, a->number, why);
  db_send(tx, answered, a);
  free(why);
}

/* All that the names mean there, each once. NULL: *unknown is none. The caller frees it. */
static const char **named(const struct pipeline *p, char *const *names, int n, int *count, const char **unknown)
{
  const char **all = xcalloc((size_t)p->nbuilders + 1, sizeof *all);

  *count = 0;
  for (int i = 0; i < n; i++) {
    int some;
    const struct pipe_builder *b = pipeline_named(p, names[i], &some);
    if (!b) {
      *unknown = names[i];
      free(all);
      return NULL;
    }
    for (int k = 0; k < some; k++) {
      bool twice = false;
      for (int j = 0; j < *count; j++)
        twice |= !strcmp(all[j], b[k].name);
      if (!twice)
        all[(*count)++] = b[k].name;
    }
  }
  return all;
}

static void pipeline_here(const struct world_pipe *r, void *arg)
{
  struct ask *a = arg;
  const char **names, *unknown = NULL;
  struct buf builders;
  struct db_tx *tx;
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
    refuse(a, xasprintf("the pipeline of project %s can't be read at %.12s of %s: %s", a->p->conf->name, a->revision, a->branch, r->why));
    return;
  }
  names = named(pipes_of(r->pipe), a->builders, a->nbuilders, &n, &unknown);
  if (!names) {
    refuse(a, xasprintf("project %s has no builder %s at %.12s of %s", a->p->conf->name, unknown, a->revision, a->branch));
    return;
  }
  buf_init(&builders, BUF_NO_MAX);
  decide_builders(pipes_of(r->pipe), (char *const *)(uintptr_t)names, n, &builders);
  free(names);
  tx = db_tx(a->w->m->db, DB_ANY);
  db_q(tx, SQL_trigger_answer, "nnnsssnns", a->step, a->number, a->p->id, world_repository(a->p), a->branch, a->revision, r->pipe_id, a->w->m->config_version, buf_str(&builders));
  buf_free(&builders);
  db_send(tx, answered, a);
}

/* The first of them that may not be triggered: why; NULL: all may. */
static char *not_allowed(const struct ask *a, const char *own, const char *project)
{
  char *no = NULL;

  for (int i = 0; i < a->nbuilders && !no && strcmp(own, project); i++)
    no = conf_trigger_refused(a->w->m->conf, own, project, a->builders[i]);
  return no;
}

static void begin(struct worlds *w, const struct db_res *res, int stmt, int row)
{
  const char *project = db_str(res, stmt, row, PROJECT), *asked = db_null(res, stmt, row, ASKED) ? NULL : db_str(res, stmt, row, ASKED);
  struct world *p = worlds_find(w, project);
  struct ask *a;
  char *no;

  if (p && (!p->id || (!p->pipe_id && !world_reads(p))))
    return; /* soon, or another master */
  a = xcalloc(1, sizeof *a);
  *a = (struct ask){ .w = w, .p = p ? world_hold(p) : NULL, .step = db_num(res, stmt, row, STEP), .number = db_num(res, stmt, row, NUMBER), .build = xstrdup(db_str(res, stmt, row, BUILD)),
                     .branch = xstrdup(db_str(res, stmt, row, BRANCH)), .revision = xstrdup(db_str(res, stmt, row, REVISION)) };
  a->builders = db_texts(res, stmt, row, BUILDERS, &a->nbuilders);
  w->in_ask++;
  no = not_allowed(a, db_str(res, stmt, row, OWN), project);
  if (no)
    refuse(a, no);
  else if (!p)
    refuse(a, xasprintf("there is no project \"%s\" in the site's configuration", project));
  else if (!*a->revision && asked && db_num(res, stmt, row, SEEN))
    refuse(a, xasprintf("project %s has no branch \"%s\"", project, asked));
  else if (!*a->revision)
    later(a, "no branch has been seen there yet");
  else
    worlds_pipeline(w, p, a->branch, a->revision, pipeline_here, a);
}

void abroad_begin(struct worlds *w, const struct db_res *res, int stmt)
{
  for (int i = 0; i < db_rows(res, stmt); i++)
    begin(w, res, stmt, i);
}
