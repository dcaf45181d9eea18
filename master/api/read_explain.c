/* What counts for a builder, key by key, with the line that says so: as the configuration is now, or as a build was pinned to it.

   Of a project whose pipeline is in the site's configuration the lines are those of the site's files, also of a version that is long past; of one in a repository those of the .drover.yml that was
   stored when it was read. */
#include "master/api/handlers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/pipe_explain.h"
#include "master/core/master.h"
#include "master/dispatch/pipes.h"

enum { PROJECT_MAX = 64, BRANCH_MAX = 255, REVISION_MAX = 64 };

struct asked {
  int64_t version, pipe_id, change;
  char project[PROJECT_MAX + 1], builder[PIPELINE_BUILDER_MAX + 1];
  char branch[BRANCH_MAX + 1], revision[REVISION_MAX + 1];
};

/* from_site: the pipeline is in the site's configuration. */
static void answer(struct call *c, const struct asked *a, const struct pipeline *p, bool from_site)
{
  char change[32], *name;
  int n;
  const struct pipe_builder *b = pipeline_named(p, a->builder, &n);
  cJSON *o;

  if (n != 1) {
    if (n)
      call_error(c, 409, "conflict", "say which", "\"%s\" stands for %d builders, such as \"%s\"", a->builder, n, b->name);
    else
      call_error(c, 404, "not_found", "drover builders shows all", "the pipeline of project %s has no builder \"%s\"", a->project, a->builder);
    return;
  }
  snprintf(change, sizeof change, "c%" PRId64, a->change);
  o = cJSON_CreateObject();
  name = xasprintf("%s/%s", a->project, b->name);
  json_text(o, "builder", name);
  free(name);
  json_num(o, "version", a->version);
  json_text(o, "branch", from_site ? NULL : a->branch);
  json_text(o, "revision", from_site ? NULL : a->revision);
  json_text(o, "change", from_site || !a->change ? NULL : change);
  cJSON_AddItemToObject(o, "keys", explain_json(p, b));
  call_json(c, 200, o);
}

static void pipe_here(bool ok, void *arg)
{
  struct call *c = arg;
  const struct asked *a;
  struct pipe_ref *ref;

  if (!call_release(c))
    return;
  a = call_data(c, sizeof *a);
  ref = ok ? pipes_ref(call_master(c), a->pipe_id, a->project) : NULL;
  if (!ref)
    call_away(c);
  else if (!pipes_of(ref))
    call_error(c, 409, "conflict", NULL, "the pipeline is not valid for this version of the master");
  else
    answer(c, a, pipes_of(ref), false);
  pipes_unref(ref);
}

static void take(struct asked *a, const struct db_res *r)
{
  a->pipe_id = db_num(r, 0, 0, 0);
  snprintf(a->branch, sizeof a->branch, "%s", db_str(r, 0, 0, 1));
  snprintf(a->revision, sizeof a->revision, "%s", db_str(r, 0, 0, 2));
  a->change = db_null(r, 0, 0, 3) ? 0 : db_num(r, 0, 0, 3);
}

static void load(struct call *c, const struct asked *a)
{
  call_hold(c);
  pipes_load(call_master(c), a->pipe_id, a->project, pipe_here, c);
}

static void got_newest(struct call *c, const struct db_res *r)
{
  struct asked *a = call_data(c, sizeof *a);

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", NULL, "no pipeline was read of the repository of project %s yet%s", a->project, call_query(c, "branch") ? ", for that branch" : "");
    return;
  }
  take(a, r);
  load(c, a);
}

/* The project as the build's version of the site has it; NULL: its pipeline is in the repository, or that version can't be read any more. */
static const struct conf_project *project_then(struct conf *conf, const struct asked *a)
{
  const struct conf_project *p = conf ? conf_project(conf, a->project) : NULL;
  return p && p->pipeline ? p : NULL;
}

static void got_build(struct call *c, const struct db_res *r)
{
  struct asked *a = call_data(c, sizeof *a);
  const struct conf_project *p;
  struct conf *conf = NULL;
  struct diags d;

  if (!db_rows(r, 0) || db_null(r, 0, 0, 0)) {
    call_error(c, 404, "not_found", NULL, "there is no such build, or nothing is known of its pipeline");
    return;
  }
  take(a, r);
  a->version = db_num(r, 0, 0, 4);
  diag_init(&d);
  if (!db_null(r, 0, 0, 5))
    conf = conf_of_text("the version", db_str(r, 0, 0, 5), NULL, &d);
  diag_free(&d);
  p = project_then(conf, a);
  if (p && pipeline_builder(p->pipeline, a->builder)) /* else it was reported: the site's files don't have it */
    answer(c, a, p->pipeline, true);
  else
    load(c, a);
  conf_free(conf);
}

void read_explain(struct call *c)
{
  const char *number = call_query(c, "number");
  struct asked *a = call_data(c, sizeof *a);
  const struct conf_project *p = conf_project(call_master(c)->conf, call_arg(c, 0));
  struct db_tx *tx;
  int64_t n = INT64_MIN;

  snprintf(a->project, sizeof a->project, "%s", call_arg(c, 0));
  snprintf(a->builder, sizeof a->builder, "%s", call_arg(c, 1));
  a->version = call_master(c)->config_version;
  if (number) {
    if (!build_number(c, number, &n))
      return;
    tx = call_tx(c);
    db_q(tx, SQL_explain_build, "ssN", a->project, a->builder, n);
    call_ask(c, tx, got_build);
  } else if (!p) {
    call_error(c, 404, "not_found", "drover list projects shows all", "there is no project \"%s\"", a->project);
  } else if (p->pipeline) {
    answer(c, a, p->pipeline, true);
  } else {
    tx = call_tx(c);
    db_q(tx, SQL_explain_newest, "ss", a->project, call_query(c, "branch"));
    call_ask(c, tx, got_newest);
  }
}
