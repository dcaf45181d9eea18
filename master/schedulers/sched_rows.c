/* Schedulers become rows in one transaction a project: schedulers_sync() compares and writes what differs. A tip that can't be read now is looked at again later; one whose pipeline is not valid
   leaves the schedulers as they were, and project.schedulers_why says so. */
#include "master/schedulers/sched_rows.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/events/events.h"
#include "master/schedulers/due.h"
#include "master/schedulers/worlds_int.h"

static void add_texts(cJSON *o, const char *key, char *const *v, int n)
{
  cJSON_AddItemToObject(o, key, n ? cJSON_CreateStringArray((const char *const *)v, n) : cJSON_CreateArray());
}

static void add_params(cJSON *spec, const struct pipe_scheduler *s)
{
  cJSON *list = cJSON_AddArrayToObject(spec, "parameters");

  for (int i = 0; i < s->nparams; i++) {
    const struct param *p = &s->params[i];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", p->name);
    cJSON_AddStringToObject(o, "type", param_type_name(p->type));
    if (p->match)
      cJSON_AddStringToObject(o, "match", p->match);
    if (p->nchoices)
      add_texts(o, "choices", p->choices, p->nchoices);
    if (p->fallback)
      cJSON_AddStringToObject(o, "default", p->fallback);
    cJSON_AddItemToArray(list, o);
  }
}

/* What people are told about it; only what counts for its kind. */
static cJSON *spec(const struct pipe_scheduler *s)
{
  static const char *const missed[] = { [PIPE_MISSED_ONCE] = "once", [PIPE_MISSED_SKIP] = "skip", [PIPE_MISSED_ALL] = "all" };
  cJSON *o = cJSON_CreateObject();

  if (s->trigger == PIPE_ON_CHANGE || s->trigger == PIPE_ON_PULL)
    add_texts(o, "branches", s->branches, s->nbranches);
  if (s->ncodebases)
    add_texts(o, "codebases", s->codebases, s->ncodebases);
  if (s->trigger == PIPE_ON_TAG)
    add_texts(o, "tags", s->branches, s->nbranches);
  if (s->trigger == PIPE_ON_CHANGE)
    cJSON_AddNumberToObject(o, "stable", (double)s->stable_ms);
  if (s->nonly)
    add_texts(o, "only", s->only, s->nonly);
  if (s->nnot_only)
    add_texts(o, "not_only", s->not_only, s->nnot_only);
  if (s->cond)
    cJSON_AddStringToObject(o, "if", s->cond_text);
  if (s->supersede)
    cJSON_AddTrueToObject(o, "supersede");
  if (s->collapse)
    cJSON_AddNumberToObject(o, "collapse", s->collapse);
  if (s->priority_of)
    cJSON_AddStringToObject(o, "priority", s->priority_text);
  else if (s->priority != PIPELINE_PRIORITY)
    cJSON_AddNumberToObject(o, "priority", s->priority);
  if (s->trigger == PIPE_ON_CRON) {
    cJSON_AddStringToObject(o, "cron", s->cron_text);
    cJSON_AddStringToObject(o, "zone", s->zone);
  }
  if (s->trigger == PIPE_ON_EVERY)
    cJSON_AddNumberToObject(o, "every", (double)s->every_ms);
  if (s->trigger == PIPE_ON_CRON || s->trigger == PIPE_ON_EVERY) {
    cJSON_AddStringToObject(o, "missed", missed[s->missed]);
    if (s->only_if)
      cJSON_AddStringToObject(o, "only_if", s->only_if_text);
  }
  if (s->trigger == PIPE_ON_FORCE || s->trigger == PIPE_ON_TRIGGER)
    add_params(o, s);
  if (s->after)
    cJSON_AddStringToObject(o, "after", s->after);
  if (s->fail_fast)
    cJSON_AddTrueToObject(o, "fail_fast");
  if (s->fresh)
    cJSON_AddStringToObject(o, "reuse", "none");
  if (s->branch)
    cJSON_AddStringToObject(o, "branch", s->branch);
  if (s->from_changed)
    cJSON_AddStringToObject(o, "from", "changed");
  if (s->nuntil)
    add_texts(o, "until", s->until, s->nuntil);
  add_texts(o, "builders", s->builders, s->nbuilders);
  return o;
}

void sched_rows_json(const struct pipeline *p, struct buf *json)
{
  cJSON *list = cJSON_CreateArray();
  char *text;

  for (int i = 0; i < p->nschedulers; i++) {
    const struct pipe_scheduler *s = &p->schedulers[i];
    cJSON *o = cJSON_CreateObject();
    struct buf timing;
    buf_init(&timing, BUF_NO_MAX);
    due_timing(s, &timing);
    cJSON_AddStringToObject(o, "name", s->name);
    cJSON_AddStringToObject(o, "kind", pipe_trigger_name(s->trigger));
    cJSON_AddStringToObject(o, "timing", buf_str(&timing));
    if (s->branch)
      cJSON_AddStringToObject(o, "branch", s->branch);
    cJSON_AddItemToObject(o, "spec", spec(s));
    cJSON_AddItemToArray(list, o);
    buf_free(&timing);
  }
  text = cJSON_PrintUnformatted(list);
  buf_adds(json, text);
  free(text);
  cJSON_Delete(list);
}

/* ---- the site's ---- */

static void synced(struct db_res *res, void *arg)
{
  struct worlds *w = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("scheduler", "%s", db_errtext(res));
  if (db_err(res))
    return; /* with the next contact again */
  events_kick(w->m->events);
  timed_kick(w);
}

static void put(struct db_tx *tx, const struct world *p, int64_t pipe_id, const struct pipeline *pipe, const char *revision)
{
  struct buf list;

  buf_init(&list, BUF_NO_MAX);
  if (pipe)
    sched_rows_json(pipe, &list);
  db_q(tx, SQL_schedulers_sync, "nnss", p->id, pipe_id, pipe ? buf_str(&list) : "[]", revision);
  buf_free(&list);
}

void sched_rows_site(struct worlds *w, struct world *p)
{
  struct db_tx *tx = db_tx(w->m->db, DB_ANY);

  put(tx, p, p->pipe_id, p->conf->pipeline, NULL);
  db_send(tx, synced, w);
}

/* ---- at the tips ---- */

struct tip {
  struct worlds *w;
  struct world *p; /* held */
  char *revision;
  int64_t epoch;   /* of the lease under which it is read */
};

static void tip_free(struct tip *t)
{
  t->w->tips--;
  world_drop(t->p);
  free(t->revision);
  free(t);
}

static void tip_stored(struct db_res *res, void *arg)
{
  struct tip *t = arg;

  if (!lease_lost(res)) /* else who has it now reads it */
    synced(res, t->w);
  tip_free(t);
}

static void tip_here(const struct world_pipe *r, void *arg)
{
  struct tip *t = arg;
  struct db_tx *tx;

  if (t->w->m->stopping || !world_lease_same(t->p, t->epoch)) {
    tip_free(t);
    return;
  }
  tx = db_tx(t->w->m->db, DB_ANY);
  lease_fence(tx, t->p->poll, t->epoch);
  if (!r->err || r->err == ERR_NOTFOUND)
    put(tx, t->p, r->pipe_id, r->err ? NULL : pipes_of(r->pipe), t->revision);
  else if (err_class(r->err) == ERR_CLASS_RETRY)
    db_q(tx, SQL_timed_tip_later, "ns", t->p->id, r->why);
  else
    db_q(tx, SQL_timed_tip_bad, "nss", t->p->id, t->revision, r->why);
  db_send(tx, tip_stored, t);
}

void sched_rows_tips(struct worlds *w, const struct db_res *res, int stmt)
{
  for (int i = 0; i < db_rows(res, stmt); i++) {
    struct world *p = worlds_find(w, db_str(res, stmt, i, 0));
    struct tip *t;
    if (!p || !world_reads(p))
      continue;
    t = xmalloc(sizeof *t);
    *t = (struct tip){ w, world_hold(p), xstrdup(db_str(res, stmt, i, 2)), p->poll->epoch };
    w->tips++;
    if (db_null(res, stmt, i, 3))
      worlds_pipeline(w, p, db_str(res, stmt, i, 1), t->revision, tip_here, t);
    else
      worlds_pipeline_known(w, p, db_num(res, stmt, i, 3), t->revision, tip_here, t);
  }
}
