/* The git poller: what is known of a repository's branches (rows), what a helper process finds there now, and one transaction that makes the changes and moves the heads. */
#include <inttypes.h>
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/core/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/events/events.h"
#include "master/schedulers/worlds_int.h"

struct look {                 /* one poll under way */
  struct poll_state *ps;
  struct gith_head *known;
  int nknown;
};

static void on_timer(uv_timer_t *t);

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

static void stored(struct db_res *res, void *arg)
{
  struct poll_state *ps = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("poll", "%s: %s", ps->p->conf->name, db_errtext(res));
  if (!db_err(res)) {
    ps->p->looked_ms = clock_wall_ms();
    events_kick(ps->w->m->events);
    worlds_kick(ps->w);
  }
  again(ps);
}

static void put_commit(struct db_tx *tx, struct poll_state *ps, const struct gith_commit *c)
{
  cJSON *files = c->nfiles ? cJSON_CreateStringArray((const char *const *)c->files, c->nfiles) : cJSON_CreateArray(); /* cJSON makes nothing of an empty list */
  char *json = cJSON_PrintUnformatted(files);

  db_q(tx, SQL_change_add, "nsssssNssss", ps->p->id, ps->p->conf->git, c->branch, c->revision, c->previous, c->author, c->author_ms, c->message, json,
       c->files_cut ? "{\"files_cut\":true}" : "{}", "git poller");
  log_info("change", "%s %s %.12s by the poller", ps->p->conf->name, c->branch, c->revision);
  free(json);
  cJSON_Delete(files);
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
      db_q(tx, SQL_head_drop, "ns", l->ps->p->id, l->known[i].branch);
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
  if (!first || ps->p->conf->first_build)
    for (int i = 0; i < g->ncommits; i++)
      put_commit(tx, ps, &g->commits[i]);
  for (int i = 0; i < g->nheads; i++)
    if (!str_eq(known_revision(l, g->heads[i].branch), g->heads[i].revision)) {
      if (first && !ps->p->conf->first_build)
        log_info("poll", "%s: %s is at %.12s; history is not built", ps->p->conf->name, g->heads[i].branch, g->heads[i].revision);
      db_q(tx, SQL_head_set, "nss", ps->p->id, g->heads[i].branch, g->heads[i].revision);
    }
  drop_deleted(tx, l, g);
  look_free(l);
  if (!db_count(tx)) {
    ps->p->looked_ms = clock_wall_ms();
    db_drop(tx);
    again(ps);
    return;
  }
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
