/* Schedulers by hand: enable, disable, run. Values of parameters are read here, by what the scheduler's pipeline says of them; what came in becomes typed properties of the buildset. */
#include "master/dispatch/actions_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/worlds.h"

enum { REASON_MAX = 1000 };

/* a->id is project/name: into a->project and a->builder, with a->reason. false: answered. */
static bool named(struct acting *a, const cJSON *args)
{
  const char *reason = act_string(args, "reason"), *slash = strchr(a->id, '/');

  if (reason && (strlen(reason) > REASON_MAX || strpbrk(reason, "\r\n"))) {
    acting_fail(a, 400, "bad_request", NULL, "a reason is one line of at most %d bytes", REASON_MAX);
    return false;
  }
  a->project = xstrndup(a->id, slash ? (size_t)(slash - a->id) : 0);
  a->builder = xstrdup(slash ? slash + 1 : a->id);
  a->reason = reason && *reason ? xstrdup(reason) : NULL;
  return true;
}

static void unknown(struct acting *a)
{
  acting_fail(a, 404, "not_found", "drover scheduler list shows them all", "there is no scheduler %.200s", a->id);
}

/* ---- enable, disable ---- */

static void switched(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json;
  bool was;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0) || db_null(res, 0, 0, 0)) {
    unknown(a);
    return;
  }
  was = db_num(res, 0, 0, 1) != 0;
  events_kick(a->m->events);
  worlds_kick(a->m->worlds);
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "id", a->id);
  cJSON_AddBoolToObject(json, "disabled", a->number != 0);
  cJSON_AddBoolToObject(json, "was", was);
  acting_done(a, 200, json);
}

void act_scheduler_switch(struct acting *a, bool off, const cJSON *args)
{
  struct db_tx *tx;

  if (!named(a, args))
    return;
  a->number = off;
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_scheduler_switch, "sslss", a->project, a->builder, (int)off, a->who, a->reason);
  db_send(tx, switched, a);
}

/* ---- run ---- */

struct running {
  struct acting *a;
  cJSON *given;      /* parameters */
  cJSON *at;         /* of codebases; NULL: nothing was said */
  int64_t id, pipe_id;
};

static void running_free(struct running *r)
{
  cJSON_Delete(r->given);
  cJSON_Delete(r->at);
  free(r);
}

/* The properties that the given values make. NULL: answered. */
static char *properties(struct acting *a, const struct pipe_scheduler *s, const cJSON *given)
{
  char *whose = xasprintf("scheduler %s", a->id), *help;
  struct buf json, why;
  bool good;

  buf_init(&json, BUF_NO_MAX);
  buf_init(&why, BUF_NO_MAX);
  good = params_read(s->params, s->nparams, whose, given, &json, &why, &help);
  if (!good)
    acting_fail(a, 400, "bad_request", help, "%s", buf_str(&why));
  free(help);
  free(whose);
  buf_free(&why);
  if (good)
    return buf_take(&json);
  buf_free(&json);
  return NULL;
}

static void made(struct db_res *res, void *arg)
{
  struct acting *a = arg;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0) || db_null(res, 0, 0, 0))
    acting_fail(a, 409, "conflict", "drover scheduler show tells what it is now", "scheduler %s has just become another one, or was disabled", a->id);
  else
    acting_made(a, res, 0);
}

static void pipe_here(bool ok, void *arg)
{
  struct running *r = arg;
  struct acting *a = r->a;
  struct pipe_ref *pipe = ok ? pipes_ref(a->m, r->pipe_id, a->project) : NULL;
  const struct pipe_scheduler *s = pipe && pipes_of(pipe) ? pipeline_scheduler(pipes_of(pipe), a->builder) : NULL;
  struct world *p = worlds_find(a->m->worlds, a->project);
  struct buf builders;
  struct db_tx *tx;
  char *reason, *props, *asked;

  if (!s || !p)
    acting_fail(a, pipe ? 409 : 503, pipe ? "conflict" : "database_away", NULL, pipe ? "the pipeline of scheduler %s is not valid for this version of the master" : "the pipeline of %s can't be read now", a->id);
  else if ((props = properties(a, s, r->given))) {
    buf_init(&builders, BUF_NO_MAX);
    decide_scheduler(pipes_of(pipe), s, &builders);
    reason = xasprintf("scheduler %s, run by %s%s%s", s->name, a->who, a->reason ? ": " : "", a->reason ? a->reason : "");
    tx = db_tx(a->m->db, DB_ANY);
    asked = acting_builders(a, &builders);
    db_q(tx, SQL_scheduler_run, "nnnsssssss", r->id, r->pipe_id, a->m->config_version, world_repository(p), a->branch, a->revision, reason, a->who, props, asked);
    free(asked);
    buf_free(&builders);
    free(reason);
    free(props);
    db_send(tx, made, a);
  }
  running_free(r);
  pipes_unref(pipe);
}

static void load(struct acting *a, void *arg)
{
  struct running *r = arg;

  pipes_load(a->m, r->pipe_id, a->project, pipe_here, r);
}

static void drop(void *arg)
{
  running_free(arg);
}

static void stamps(struct running *r)
{
  struct acting *a = r->a;
  struct world *p = worlds_find(a->m->worlds, a->project);

  if (!p) {
    unknown(a);
    running_free(r);
    return;
  }
  a->codebase = xstrdup(p->conf->codebases[p->conf->main].name);
  acting_stamps(a, p, r->at, load, drop, r);
}

static void found(struct db_res *res, void *arg)
{
  struct running *r = arg;
  struct acting *a = r->a;
  const char *by = db_err(res) ? "" : db_str(res, 0, 0, 4), *why = db_err(res) ? "" : db_str(res, 0, 0, 5);

  if (acting_db_failed(a, res)) {
    running_free(r);
  } else if (!db_rows(res, 0)) {
    unknown(a);
    running_free(r);
  } else if (db_num(res, 0, 0, 6)) {
    acting_fail(a, 409, "conflict", "drover scheduler enable", "scheduler %s is disabled by %s%s%s", a->id, by, *why ? ": " : "", why);
    running_free(r);
  } else if (db_null(res, 0, 0, 8)) {
    acting_fail(a, 409, "conflict", NULL, "no branch %s%sof project %s has been seen yet", db_str(res, 0, 0, 7), *db_str(res, 0, 0, 7) ? " " : "", a->project);
    running_free(r);
  } else {
    r->id = db_num(res, 0, 0, 0);
    r->pipe_id = db_num(res, 0, 0, 2);
    a->branch = xstrdup(db_str(res, 0, 0, 7));
    a->revision = xstrdup(db_str(res, 0, 0, 8));
    stamps(r);
  }
}

void act_scheduler_run(struct acting *a, const cJSON *args)
{
  const cJSON *given = cJSON_GetObjectItemCaseSensitive(args, "parameters");
  struct running *r;
  struct db_tx *tx;

  if (given && !cJSON_IsObject(given)) {
    acting_fail(a, 400, "bad_request", NULL, "parameters want an object of names and values");
    return;
  }
  if (!named(a, args))
    return;
  r = xcalloc(1, sizeof *r);
  r->a = a;
  r->given = given ? cJSON_Duplicate(given, true) : cJSON_CreateObject();
  r->at = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(args, "at"), true);
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_scheduler_get, "ss", a->project, a->builder);
  db_send(tx, found, r);
}
