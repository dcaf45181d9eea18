/* Builders that a step has reported. They count once the build has ended well, and are added by the transaction of its end: of an attempt that is lost, or a build that fails, nothing is left in the buildset, and the
   next attempt reports anew. Until then they are with the step, so that any master can end the build. */
#include "master/dispatch/run_nodes.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "master/conf/conf.h"
#include "master/conf/conf_lock.h"
#include "master/conf/conf_needs.h"
#include "master/conf/conf_secret.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/pipes.h"
#include "master/schedulers/decide.h"

/* What is asked of any pipeline when it is read. */
static void check(const struct run *r, const struct pipeline *p, struct diags *d)
{
  const struct conf *site = r->m->conf;
  const struct conf_project *own = conf_project(site, r->ctx.project);

  conf_check_secrets(site, r->ctx.project, p, d);
  conf_check_locks(site, r->ctx.project, p, d);
  conf_check_needs(site, r->ctx.project, p, d);
  if (own)
    conf_check_codebases(own, p, d);
}

/* The new ones, those behind the first n, and what they need. */
static void tell(const struct pipeline *p, int n, struct buf *builders)
{
  char **names = xcalloc((size_t)p->nbuilders, sizeof *names);

  for (int i = n; i < p->nbuilders; i++)
    names[i - n] = p->builders[i].name;
  decide_builders(p, names, p->nbuilders - n, builders);
  free(names);
}

void run_nodes_put(struct run *r, struct db_tx *tx, const char *text, const char *builders)
{
  db_q(tx, SQL_step_nodes, "nnsbs", r->id, (int64_t)r->number, r->ctx.builder, text, strlen(text), builders);
}

/* What a build reports is the word of the code that runs in it. It counts where that code's author may also say what is in the pipeline. NULL: so it is. */
static char *not_allowed(const struct run *r)
{
  const struct conf_project *p = conf_project(r->m->conf, r->ctx.project);

  if (r->ctx.fork) /* its pipeline is that of the branch which it wants to go into */
    return xstrdup("builds of pull requests from forks report no builders");
  if (p && p->pipeline && !p->report_builders)
    return xasprintf("the pipeline of project %s is the site's, and builds report builders there only where it says `report_builders: true`", p->name);
  return NULL;
}

char *run_nodes_take(struct run *r, const char *text, struct buf *builders)
{
  const struct pipeline *base = r->nodes ? r->nodes : pipes_of(r->pipe);
  char *no = not_allowed(r);
  struct pipeline *p;
  struct diags d;
  struct buf why;

  if (no)
    return no;
  diag_init(&d);
  p = pipeline_extend(base, text, strlen(text), r->ctx.builder, &d);
  if (p)
    check(r, p, &d);
  if (!diag_count(&d)) {
    diag_free(&d);
    tell(p, base->nbuilders, builders);
    pipeline_free(r->nodes);
    r->nodes = p;
    r->reports = true;
    return NULL;
  }
  pipeline_free(p);
  buf_init(&why, BUF_NO_MAX);
  diag_print(&d, &why);
  diag_free(&d);
  return buf_take(&why);
}
