/* Asking for builds: build, rerun. */
#include "master/dispatch/actions_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/conf/conf.h"
#include "master/conf/expr_json.h"
#include "master/conf/pipeline.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/worlds.h"

enum { PROPERTY_NAME_MAX = 200 };

void acting_made(struct acting *a, struct db_res *res, int stmt)
{
  cJSON *json = cJSON_CreateObject(), *list;
  char text[32];

  events_kick(a->m->events);
  dispatch_kick(a->m->dispatch);
  worlds_kick(a->m->worlds); /* it may need builders of other projects */
  snprintf(text, sizeof text, "s%" PRId64, db_num(res, stmt, 0, 0));
  cJSON_AddStringToObject(json, "buildset", text);
  list = cJSON_AddArrayToObject(json, "requests");
  for (const char *s = db_str(res, stmt, 0, 1) + 1; *s && *s != '}'; s += strcspn(s, ",}"), s += *s == ',') {
    snprintf(text, sizeof text, "r%.*s", (int)strcspn(s, ",}"), s);
    cJSON_AddItemToArray(list, cJSON_CreateString(text));
  }
  acting_done(a, 201, json);
}

static void made(struct db_res *res, void *arg)
{
  struct acting *a = arg;

  if (!acting_db_failed(a, res))
    acting_made(a, res, 0);
}

static void pipeline_here(const struct world_pipe *r, void *arg)
{
  struct acting *a = arg;
  struct world *p = worlds_find(a->m->worlds, a->project);
  const struct pipe_builder *wanted;
  char *reason, *asked, *names[PIPELINE_COMBINATIONS_MAX];
  int n;
  struct buf builders;
  struct db_tx *tx;

  if (r->err) {
    acting_fail(a, r->err == ERR_NOTFOUND || r->err == ERR_SYNTAX ? 400 : err_class(r->err) == ERR_CLASS_RETRY ? 503 : 400, "pipeline", NULL, "%s", r->why);
    return;
  }
  wanted = pipeline_named(pipes_of(r->pipe), a->builder, &n); /* of a matrix all combinations, or one */
  if (!wanted) {
    acting_fail(a, 404, "not_found", "drover list builders shows those that were built", "project %s has no builder %s%s%s", a->project, a->builder,
                *a->branch ? " on branch " : "", a->branch);
    return;
  }
  buf_init(&builders, BUF_NO_MAX);
  for (int i = 0; i < n; i++)
    names[i] = wanted[i].name;
  decide_builders(pipes_of(r->pipe), names, n, &builders);
  reason = *a->reason ? xstrdup(a->reason) : xasprintf("asked for by %s", a->who);
  tx = db_tx(a->m->db, DB_ANY);
  asked = acting_builders(a, &builders);
  db_q(tx, SQL_buildset_add, "nssssssssnnNs", p->id, world_repository(p), a->branch, r->revision, NULL, reason, "{}", a->properties, a->who,
       a->m->config_version, r->pipe_id, INT64_MIN, asked);
  free(asked);
  free(reason);
  buf_free(&builders);
  db_send(tx, made, a);
}

static void read_pipeline(struct acting *a, void *arg)
{
  struct world *p = worlds_find(a->m->worlds, a->project);

  (void)arg;
  worlds_pipeline(a->m->worlds, p, a->branch, a->revision, pipeline_here, a);
}

static void nothing(void *arg)
{
  (void)arg;
}

static void find_stamps(struct acting *a)
{
  struct world *p = worlds_find(a->m->worlds, a->project);
  cJSON *at = a->text ? cJSON_Parse(a->text) : NULL;

  if (!p)
    acting_fail(a, 404, "not_found", NULL, "there is no project %s in this configuration", a->project);
  else
    acting_stamps(a, p, at, read_pipeline, nothing, NULL);
  cJSON_Delete(at);
}

static void branch_here(struct db_res *res, void *arg)
{
  struct acting *a = arg;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0)) {
    acting_fail(a, 400, "bad_request", "say --branch", "no branch of project %s has been seen yet", a->project);
    return;
  }
  free(a->branch);
  a->branch = xstrdup(db_str(res, 0, 0, 0));
  find_stamps(a);
}

static void with_project(struct acting *a)
{
  struct world *p = worlds_find(a->m->worlds, a->project);
  const struct conf_codebase *k;
  struct db_tx *tx;

  if (a->m->stopping) {
    acting_fail(a, 503, "database_away", NULL, "the master is stopping");
    return;
  }
  if (acting_too_early(a, p))
    return;
  if (!p) {
    acting_fail(a, 404, "not_found", NULL, "there is no project %s in this configuration", a->project);
    return;
  }
  k = *a->codebase ? acting_codebase(a, p, a->codebase, NULL) : &p->conf->codebases[p->conf->main];
  if (!k)
    return;
  if (*a->revision && !gith_is_revision_of(k->vcs, a->revision)) {
    acting_fail(a, 400, "bad_request", gith_revision_rule(k->vcs), "this is no revision of project %s: %.200s", a->project, a->revision);
    return;
  }
  free(a->codebase);
  a->codebase = xstrdup(k->name);
  if (*a->branch || !k->git) {
    find_stamps(a);
    return;
  }
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_head_default, "ns", p->id, k->name);
  db_send(tx, branch_here, a);
}

static void project_here(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  struct world *only = worlds_only(a->m->worlds);

  if (acting_db_failed(a, res))
    return;
  if (db_rows(res, 0) > 1) {
    acting_fail(a, 409, "conflict", "name it PROJECT/BUILDER", "%d projects have a builder %s", db_rows(res, 0), a->builder);
    return;
  }
  if (!db_rows(res, 0) && !only) {
    acting_fail(a, 404, "not_found", "name it PROJECT/BUILDER; drover list builders shows those that were built", "there is no builder %s", a->builder);
    return;
  }
  a->project = xstrdup(db_rows(res, 0) ? db_str(res, 0, 0, 0) : only->conf->name);
  with_project(a);
}

bool acting_properties(struct acting *a, const cJSON *props)
{
  bool good = !props || cJSON_IsObject(props);
  const cJSON *it;

  if (good)
    cJSON_ArrayForEach(it, props)
      good &= *it->string && strlen(it->string) <= PROPERTY_NAME_MAX && expr_json_ok(it);
  if (good)
    a->properties = props ? cJSON_PrintUnformatted(props) : xstrdup("{}");
  else
    acting_fail(a, 400, "bad_request", NULL, "properties want an object of texts, whole numbers, true or false, or lists of these");
  return good;
}

void act_build(struct acting *a, const cJSON *args)
{
  const char *builder = act_string(args, "builder"), *branch = act_string(args, "branch"), *revision = act_string(args, "revision");
  const char *codebase = act_string(args, "codebase");
  const cJSON *at = cJSON_GetObjectItemCaseSensitive(args, "at");
  const char *reason = act_string(args, "reason"), *slash = builder ? strchr(builder, '/') : NULL, *name = slash ? slash + 1 : builder;
  struct db_tx *tx;

  a->branch = xstrdup(branch ? branch : "");
  a->revision = xstrdup(revision ? revision : "");
  a->reason = xstrdup(reason ? reason : "");
  a->codebase = xstrdup(codebase ? codebase : "");
  a->text = at ? cJSON_PrintUnformatted(at) : NULL;
  if (!builder || !pipeline_is_builder(name, strlen(name)) || (slash && !str_is_name(builder, (size_t)(slash - builder)))) {
    acting_fail(a, 400, "bad_request", "builder: PROJECT/BUILDER", "which builder?");
  } else if (*a->branch && !gith_is_branch(a->branch)) {
    acting_fail(a, 400, "bad_request", NULL, "this is no branch name: %.200s", a->branch);
  } else if (*a->revision && !gith_is_revision(a->revision) && !gith_is_revision_of(VCS_SVN, a->revision)) {
    acting_fail(a, 400, "bad_request", "7 to 64 hex digits; of Subversion a number", "this is no revision: %.200s", a->revision);
  } else if (acting_properties(a, cJSON_GetObjectItemCaseSensitive(args, "properties"))) {
    a->builder = xstrdup(name);
    if (slash) {
      a->project = xstrndup(builder, (size_t)(slash - builder));
      with_project(a);
      return;
    }
    tx = db_tx(a->m->db, DB_ANY);
    db_q(tx, SQL_builder_find, "s", name);
    db_send(tx, project_here, a);
  }
}

/* ---- rerun ---- */

static void found(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  char *reason;
  struct db_tx *tx;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0)) {
    acting_fail(a, 404, "not_found", NULL, "there is no build %s", a->id);
    return;
  }
  reason = xasprintf("rerun of %s/%s/%" PRId64 " asked for by %s%s%s", db_str(res, 0, 0, 2), db_str(res, 0, 0, 8), db_num(res, 0, 0, 12), a->who, *a->reason ? ": " : "", a->reason);
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_buildset_add, "nssssssssNNns", db_num(res, 0, 0, 1), db_str(res, 0, 0, 3), db_str(res, 0, 0, 4), db_str(res, 0, 0, 5), NULL, reason, db_str(res, 0, 0, 11),
       db_str(res, 0, 0, 10), a->who, db_null(res, 0, 0, 6) ? INT64_MIN : db_num(res, 0, 0, 6), db_num(res, 0, 0, 7), db_num(res, 0, 0, 0), db_str(res, 0, 0, 9));
  free(reason);
  db_send(tx, made, a);
}

void act_rerun(struct acting *a, const cJSON *args)
{
  const char *reason = act_string(args, "reason");
  char *project, *builder;
  int64_t number;
  struct db_tx *tx;

  if (!act_build_id(a, &project, &builder, &number))
    return;
  a->reason = xstrdup(reason ? reason : "");
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_rerun_get, "ssnl", project, builder, number, (int)cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "only")));
  free(project);
  free(builder);
  db_send(tx, found, a);
}
