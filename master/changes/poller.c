/* The git poller: what is known of a repository's branches (rows), what a helper process finds there now, and one transaction that makes the changes and moves the heads. */
#include <inttypes.h>
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/events/events.h"
#include "master/schedulers/worlds_int.h"

enum { LOOK_LEAST_MS = 1000 };

struct look {                 /* one poll under way */
  struct poll_state *ps;
  struct gith_head *known;
  int nknown;
};

static void on_timer(uv_timer_t *t);

/* However often somebody asks, at most one look begins in LOOK_LEAST_MS. */
static void look_now(struct poll_state *ps)
{
  int64_t since = clock_mono_ms() - ps->began_ms;

  ps->once_more = false;
  uv_timer_start(&ps->timer, on_timer, (uint64_t)(since < LOOK_LEAST_MS ? LOOK_LEAST_MS - since : 0), 0);
}

static void maybe_free(struct poll_state *ps)
{
  if (!ps->closed || ps->busy)
    return;
  list_remove(&ps->node);
  world_drop(ps->p);
  free(ps);
}

static void again(struct poll_state *ps)
{
  /* A tenth of jitter, so that a hundred projects don't all ask in the same second. */
  uint16_t r;
  int64_t ms = ps->p->conf->poll_ms;

  ps->busy = false;
  if (ps->p->gone) {
    maybe_free(ps);
    return;
  }
  if (ps->w->m->stopping)
    return;
  if (ps->once_more) {
    look_now(ps);
    return;
  }
  str_random(&r, sizeof r);
  uv_timer_start(&ps->timer, on_timer, (uint64_t)(ms - ms / 20 + ms / 10 * r / 65536), 0);
}

static void look_free(struct look *l)
{
  for (int i = 0; i < l->nknown; i++) {
    free(l->known[i].branch);
    free(l->known[i].revision);
  }
  free(l->known);
  free(l);
}

static void trouble(struct poll_state *ps, const char *why)
{
  if (str_eq(ps->p->trouble, why))
    return;
  if (why)
    log_warn("poll", "%s: %s", ps->p->conf->name, why);
  else
    log_info("poll", "%s: answers again", ps->p->conf->name);
  if (!ps->p->trouble)
    ps->p->trouble_ms = clock_mono_ms();
  free(ps->p->trouble);
  ps->p->trouble = xstrdup(why);
}

const char *worlds_trouble(struct worlds *w, const char *project, int64_t *since)
{
  struct world *p = worlds_find(w, project);

  *since = p ? p->trouble_ms : 0;
  return p ? p->trouble : NULL;
}

/* A hook moved the head while we looked: what we saw may be old. */
static bool was_apart(struct db_res *res, int branches)
{
  for (int i = 0; i < branches; i++)
    if (!strcmp(db_str(res, i, 0, 0), "apart"))
      return true;
  return false;
}

static void log_made(struct poll_state *ps, const char *made)
{
  cJSON *list = cJSON_Parse(made), *it;

  cJSON_ArrayForEach(it, list)
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(it, "new")))
      log_info("change", "%s %s %s %.12s by the poller", ps->p->conf->name, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "change")),
               cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "branch")), cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "revision")));
  cJSON_Delete(list);
}

static void stored(struct db_res *res, void *arg)
{
  struct poll_state *ps = arg;
  int branches = ps->told;

  if (db_err(res) == ERR_FAILED)
    log_error("poll", "%s: %s", ps->p->conf->name, db_errtext(res));
  if (!db_err(res)) {
    ps->p->looked_ms = clock_wall_ms();
    for (int i = 0; i < branches; i++)
      log_made(ps, db_str(res, i, 0, 1));
    ps->once_more = ps->once_more || was_apart(res, branches);
    events_kick(ps->w->m->events);
    worlds_kick(ps->w);
  }
  again(ps);
}

static cJSON *commit_json(const struct gith_commit *c)
{
  cJSON *o = cJSON_CreateObject();

  cJSON_AddStringToObject(o, "revision", c->revision);
  if (*c->previous)
    cJSON_AddStringToObject(o, "previous", c->previous);
  cJSON_AddStringToObject(o, "author", c->author);
  cJSON_AddNumberToObject(o, "at", (double)c->author_ms);
  cJSON_AddStringToObject(o, "message", c->message);
  cJSON_AddItemToObject(o, "files", c->nfiles ? cJSON_CreateStringArray((const char *const *)c->files, c->nfiles) : cJSON_CreateArray()); /* cJSON makes nothing of an empty list */
  if (c->files_cut)
    cJSON_AddTrueToObject(cJSON_AddObjectToObject(o, "properties"), "files_cut");
  return o;
}

/* A branch went from one revision to another (NULL: new; deleted), with those of the commits that are its own. */
static void put_branch(struct db_tx *tx, struct poll_state *ps, const struct gith_result *g, const char *branch, const char *from, const char *to, bool with_commits)
{
  cJSON *list = cJSON_CreateArray();
  char *json;

  for (int i = 0; with_commits && i < g->ncommits; i++)
    if (!strcmp(g->commits[i].branch, branch))
      cJSON_AddItemToArray(list, commit_json(&g->commits[i]));
  json = cJSON_PrintUnformatted(list);
  db_q(tx, SQL_branch_told, "nsssss", ps->p->id, ps->p->conf->git, branch, from, to, json);
  free(json);
  cJSON_Delete(list);
}

static const char *known_revision(const struct look *l, const char *branch)
{
  for (int i = 0; i < l->nknown; i++)
    if (!strcmp(l->known[i].branch, branch))
      return l->known[i].revision;
  return NULL;
}

static void drop_deleted(struct db_tx *tx, struct look *l, const struct gith_result *g)
{
  for (int i = 0; i < l->nknown; i++) {
    bool there = false;
    for (int k = 0; k < g->nheads && !there; k++)
      there = !strcmp(l->known[i].branch, g->heads[k].branch);
    if (!there)
      put_branch(tx, l->ps, g, l->known[i].branch, l->known[i].revision, NULL, false);
  }
}

static void looked(const struct gith_result *g, void *arg)
{
  struct look *l = arg;
  struct poll_state *ps = l->ps;
  bool first = l->nknown == 0;
  struct db_tx *tx;

  if (!ps->p->gone) /* else it is another repository's trouble, or nobody's */
    trouble(ps, g->err ? g->why : NULL);
  if (ps->p->gone || g->err || !db_is_up(ps->w->m->db)) {
    look_free(l);
    again(ps);
    return;
  }
  tx = db_tx(ps->w->m->db, DB_ANY);
  for (int i = 0; i < g->nheads; i++) {
    const char *known = known_revision(l, g->heads[i].branch);
    if (str_eq(known, g->heads[i].revision))
      continue;
    if (first && !ps->p->conf->first_build)
      log_info("poll", "%s: %s is at %.12s; history is not built", ps->p->conf->name, g->heads[i].branch, g->heads[i].revision);
    put_branch(tx, ps, g, g->heads[i].branch, known, g->heads[i].revision, !first || ps->p->conf->first_build);
  }
  drop_deleted(tx, l, g);
  look_free(l);
  if (!db_count(tx)) {
    ps->p->looked_ms = clock_wall_ms();
    db_drop(tx);
    again(ps);
    return;
  }
  ps->told = db_count(tx);
  db_send(tx, stored, ps);
}

static void heads_read(struct db_res *res, void *arg)
{
  struct poll_state *ps = arg;
  const struct conf_project *c = ps->p->conf;
  struct gith_poll q = { .name = c->name, .url = c->git, .allow_local = ps->w->m->conf->allow_local,
                         .branches = (const char *const *)c->branches, .nbranches = c->nbranches };
  struct look *l;

  if (db_err(res) || ps->p->gone || ps->w->m->stopping) {
    again(ps);
    return;
  }
  l = xcalloc(1, sizeof *l);
  l->ps = ps;
  l->nknown = db_rows(res, 0);
  l->known = xcalloc((size_t)l->nknown, sizeof *l->known);
  for (int i = 0; i < l->nknown; i++)
    l->known[i] = (struct gith_head){ xstrdup(db_str(res, 0, i, 0)), xstrdup(db_str(res, 0, i, 1)) };
  q.known = l->known;
  q.nknown = l->nknown;
  gith_poll(ps->w->m->gith, &q, looked, l);
}

static void on_timer(uv_timer_t *t)
{
  struct poll_state *ps = t->data;
  struct db_tx *tx;

  if (ps->busy || ps->w->m->stopping)
    return;
  ps->busy = true;
  ps->began_ms = clock_mono_ms();
  log_debug("poll", "%s: a look at the repository", ps->p->conf->name);
  if (!db_is_up(ps->w->m->db) || !ps->p->id) {
    again(ps);
    return;
  }
  tx = db_tx(ps->w->m->db, DB_ANY);
  db_q(tx, SQL_heads_get, "n", ps->p->id);
  db_send(tx, heads_read, ps);
}

/* ---- life ---- */

void poller_add(struct worlds *w, struct world *p)
{
  struct poll_state *ps = xcalloc(1, sizeof *ps);

  ps->w = w;
  ps->p = world_hold(p);
  p->poll = ps;
  uv_timer_init(w->m->loop, &ps->timer);
  ps->timer.data = ps;
  list_push(&w->polls, &ps->node);
  w->handles++;
}

void poller_start(struct world *p)
{
  if (!p->poll->busy && p->conf->git && p->conf->poll_ms)
    uv_timer_start(&p->poll->timer, on_timer, 0, 0);
}

void worlds_look(struct worlds *w, struct world *p)
{
  struct poll_state *ps = p->poll;

  if (!ps || !p->conf->git || w->m->stopping)
    return;
  if (ps->busy)
    ps->once_more = true; /* what happened may be younger than what the look that is under way sees */
  else
    look_now(ps);
}

static void timer_closed(uv_handle_t *h)
{
  struct poll_state *ps = h->data;
  struct worlds *w = ps->w;

  ps->closed = true;
  maybe_free(ps);
  worlds_closed(w);
}

void poller_remove(struct world *p)
{
  uv_close((uv_handle_t *)&p->poll->timer, timer_closed);
  p->poll = NULL;
}

/* Helpers and database have answered all: no look is under way. */
void poller_close(struct worlds *w)
{
  list_each(it, &w->polls) {
    struct poll_state *ps = list_of(it, struct poll_state, node);
    if (!ps->p->gone)
      poller_remove(ps->p);
  }
}
