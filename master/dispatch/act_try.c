/* Trying what is in no repository yet: a revision, and a patch on top of it. The pipeline is that of the revision: what the patch does to .drover.yml counts when it is pushed. */
#include "master/dispatch/actions_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/conf/conf.h"
#include "master/core/base64.h"
#include "master/core/master.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/worlds.h"

enum { TRY_LEVEL_MAX = 9, TRY_BUILDERS_MAX = 200 };

struct trying {
  struct acting *a;
  char *patch;
  size_t len;
  int level;
  char *branch; /* that it shall go into */
  char **names; /* of builders; 0: those of the schedulers */
  int nnames;
};

static void trying_free(struct trying *t)
{
  for (int i = 0; i < t->nnames; i++)
    free(t->names[i]);
  free(t->names);
  free(t->branch);
  free(t->patch);
  free(t);
}

static void made(struct db_res *res, void *arg)
{
  struct acting *a = arg;

  if (!acting_db_failed(a, res))
    acting_made(a, res, 0);
}

/* The builders that a commit on this branch (by its name in the main codebase) would be built by, all schedulers together. */
static int of_schedulers(const struct pipeline *p, const char *branch, const char *codebase, const char *main, char **names)
{
  const struct decide_change c = { .kind = CHANGE_BRANCH, .codebase = codebase, .main = main, .branch = branch };
  bool *in = xcalloc((size_t)p->nbuilders + 1, sizeof *in);
  int n = 0;

  for (int i = 0; i < p->nschedulers; i++) {
    const struct pipe_scheduler *s = &p->schedulers[i];
    bool here = s->trigger == PIPE_ON_CHANGE && !s->nbranches;
    char **asked;
    int nasked;
    for (int k = 0; s->trigger == PIPE_ON_CHANGE && k < s->nbranches; k++)
      here |= str_glob(s->branches[k], branch);
    if (!here)
      continue;
    asked = decide_asked(s, &c, &nasked);
    for (int k = 0; k < nasked; k++)
      in[pipeline_builder(p, asked[k]) - p->builders] = true;
    free(asked);
  }
  for (int i = 0; i < p->nbuilders; i++)
    if (in[i])
      names[n++] = p->builders[i].name;
  free(in);
  return n;
}

/* -1: there is no builder of that name (answered). */
static int named(struct trying *t, const struct pipeline *p, char **names)
{
  int n = 0, some;

  for (int i = 0; i < t->nnames; i++) {
    const struct pipe_builder *first = pipeline_named(p, t->names[i], &some);
    if (!first) {
      acting_fail(t->a, 404, "not_found", "drover list builders shows those that were built", "project %s has no builder %.100s at that revision", t->a->project, t->names[i]);
      return -1;
    }
    for (int k = 0; k < some; k++) {
      bool twice = false;
      for (int j = 0; j < n; j++)
        twice |= !strcmp(names[j], first[k].name);
      if (!twice)
        names[n++] = first[k].name;
    }
  }
  return n;
}

static void pipeline_here(const struct world_pipe *r, void *arg)
{
  struct trying *t = arg;
  struct acting *a = t->a;
  struct world *p = worlds_find(a->m->worlds, a->project);
  const struct pipeline *pl = r->err ? NULL : pipes_of(r->pipe);
  char **names = xcalloc(pl ? (size_t)pl->nbuilders + 1 : 1, sizeof *names);
  int n = !pl ? 0 : t->nnames ? named(t, pl, names) : of_schedulers(pl, a->line ? a->line : t->branch, a->codebase, p ? conf_main(p->conf) : "", names);

  if (r->err || !p) {
    acting_fail(a, err_class(r->err) == ERR_CLASS_RETRY ? 503 : 400, "pipeline", NULL, "%s", r->err ? r->why : "the project has just left the configuration");
  } else if (!n) {
    acting_fail(a, 400, "bad_request", "name builders", "no scheduler of project %s builds commits on branch %s", a->project, t->branch);
  } else if (n > 0) {
    char *reason = xasprintf("tried by %s%s%s", a->who, *a->reason ? ": " : "", a->reason);
    struct db_tx *tx = db_tx(a->m->db, DB_ANY);
    struct buf builders;
    char *asked;
    buf_init(&builders, BUF_NO_MAX);
    decide_builders(pl, names, n, &builders);
    asked = acting_builders(a, &builders);
    db_q(tx, SQL_buildset_try, "nssssssnnsbn", p->id, world_repository(p), a->branch, r->revision, reason, a->properties, a->who, a->m->config_version, r->pipe_id, asked,
         t->patch, t->len, (int64_t)t->level);
    free(asked);
    db_send(tx, made, a);
    buf_free(&builders);
    free(reason);
  }
  free(names);
  trying_free(t);
}

/* ---- what was sent ---- */

static bool take_patch(struct trying *t, const char *text)
{
  size_t n = text ? strlen(text) : 0;

  if (n > (size_t)(PIPELINE_PATCH_MAX + 2) / 3 * 4) {
    acting_fail(t->a, 413, "too_large", "push it to a branch instead", "a patch has at most %u KiB", PIPELINE_PATCH_MAX >> 10);
    return false;
  }
  t->patch = base64_read(text, &t->len);
  if (!t->patch)
    acting_fail(t->a, 400, "bad_request", NULL, "patch wants base64");
  else if (!t->len)
    acting_fail(t->a, 400, "bad_request", "drover build", "the patch is empty");
  else if (memchr(t->patch, 0, t->len))
    acting_fail(t->a, 400, "bad_request", "git diff --binary writes none", "there is a NUL byte in the patch");
  else
    return true;
  return false;
}

static bool take_builders(struct trying *t, const cJSON *list)
{
  const cJSON *it;

  if (list && (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > TRY_BUILDERS_MAX)) {
    acting_fail(t->a, 400, "bad_request", NULL, "builders wants a list of names, %d at most", TRY_BUILDERS_MAX);
    return false;
  }
  t->names = xcalloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *t->names);
  cJSON_ArrayForEach(it, list) {
    if (!cJSON_IsString(it) || !pipeline_is_builder(it->valuestring, strlen(it->valuestring))) {
      acting_fail(t->a, 400, "bad_request", "names as they stand in the pipeline, without the project", "this is no builder: %.100s", cJSON_IsString(it) ? it->valuestring : "not a text");
      return false;
    }
    t->names[t->nnames++] = xstrdup(it->valuestring);
  }
  return true;
}

static bool take(struct trying *t, const cJSON *args)
{
  const char *project = act_string(args, "project"), *branch = act_string(args, "branch"), *revision = act_string(args, "revision"), *reason = act_string(args, "reason");
  const cJSON *level = cJSON_GetObjectItemCaseSensitive(args, "level");
  struct acting *a = t->a;
  struct world *p = project ? worlds_find(a->m->worlds, project) : worlds_only(a->m->worlds);
  const struct conf_codebase *k = p ? acting_codebase(a, p, act_string(args, "codebase"), act_string(args, "repository")) : NULL;

  if (p && !k)
    return false;
  a->branch = xstrdup(branch ? branch : "");
  a->revision = xstrdup(revision ? revision : "");
  a->reason = xstrdup(reason ? reason : "");
  t->level = cJSON_IsNumber(level) ? level->valueint : 1;
  if (!p)
    acting_fail(a, 404, "not_found", NULL, project ? "there is no project %.100s in this configuration" : "which project?", project);
  else if (k->vcs != VCS_GIT)
    acting_fail(a, 400, "bad_request", "push it to a branch instead", "a patch can be tried on a git repository only, and %s%s%s is read by %s", *k->name ? "codebase " : "project ",
                *k->name ? k->name : p->conf->name, *k->name ? " of this project" : "", vcs_program(k->vcs));
  else if (!gith_is_branch(a->branch))
    acting_fail(a, 400, "bad_request", "the branch that it shall go into", "this is no branch name: %.200s", a->branch);
  else if (!gith_is_revision(a->revision))
    acting_fail(a, 400, "bad_request", "the revision that the patch is made from, 7 to 64 hex digits", "this is no revision: %.200s", a->revision);
  else if (t->level < 0 || t->level > TRY_LEVEL_MAX || (level && (!cJSON_IsNumber(level) || level->valuedouble != t->level)))
    acting_fail(a, 400, "bad_request", NULL, "level wants a whole number from 0 to %d", TRY_LEVEL_MAX);
  else if (!acting_too_early(a, p) && take_builders(t, cJSON_GetObjectItemCaseSensitive(args, "builders")) && acting_properties(a, cJSON_GetObjectItemCaseSensitive(args, "properties")) &&
           take_patch(t, act_string(args, "patch"))) {
    a->project = xstrdup(p->conf->name);
    a->codebase = xstrdup(k->name);
    t->branch = xstrdup(a->branch);
    return true;
  }
  return false;
}

static void read_pipeline(struct acting *a, void *arg)
{
  worlds_pipeline(a->m->worlds, worlds_find(a->m->worlds, a->project), a->branch, a->revision, pipeline_here, arg);
}

static void drop(void *arg)
{
  trying_free(arg);
}

void act_try(struct acting *a, const cJSON *args)
{
  struct trying *t = xcalloc(1, sizeof *t);

  t->a = a;
  if (a->m->stopping)
    acting_fail(a, 503, "database_away", NULL, "the master is stopping");
  else if (take(t, args)) {
    acting_stamps(a, worlds_find(a->m->worlds, a->project), cJSON_GetObjectItemCaseSensitive(args, "at"), read_pipeline, drop, t);
    return;
  }
  trying_free(t);
}
