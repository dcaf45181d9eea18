/* Leases of repositories: of several masters on one database one looks at a repository, and reads pipelines from it, at a time.

   A lease is a row (schema_0013.sql). It is renewed by its owner's heartbeat, with which the owner tells how it stands with its repositories and learns which ones it has and which were asked for. From the
   last heartbeat that the database took it counts LEASE_MS by this process's own clock; what is under way then is killed, before another master may begin.
   Whatever is written about a repository begins with the lease's fence, so that a master which lost one writes nothing. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/changes/githelper.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/events/events.h"
#include "master/events/hints.h"
#include "master/schedulers/worlds_int.h"

enum {
  LEASE_MS = 13000, /* other masters think this one dead 15 s after the heartbeat (schema_0013.sql, masters_alive) */
  WANT_MS = 30000,  /* nobody waits longer for another master to hand a repository over */
};

enum { NEWS_POLL, NEWS_EPOCH, NEWS_WANTED, NEWS_ASKED, NEWS_SERVED, NEWS_DUE, NEWS_FAILURES };

bool lease_held(const struct poll_state *ps)
{
  return ps->epoch && !ps->giving && clock_mono_ms() < ps->w->lease_until;
}

bool lease_same(const struct poll_state *ps, int64_t epoch)
{
  return !ps->p->gone && ps->epoch == epoch && clock_mono_ms() < ps->w->lease_until;
}

bool world_lease_same(const struct world *p, int64_t epoch)
{
  return !p->gone && lease_same(p->poll, epoch);
}

void lease_fence(struct db_tx *tx, const struct poll_state *ps, int64_t epoch)
{
  if (poll_conf(ps)->git)
    db_q(tx, SQL_poll_fence, "nnn", ps->id, ps->w->m->id, epoch);
}

bool lease_lost(const struct db_res *res)
{
  return db_err(res) == ERR_FAILED && !strcmp(db_sqlstate(res), "22012"); /* division by zero */
}

bool world_reads(const struct world *p)
{
  return p->id && !p->pipe_id && (!poll_conf(p->poll)->git || lease_held(p->poll));
}

/* ---- somebody else needs it, or we need somebody else's ---- */

static bool idle(const struct poll_state *ps)
{
  return !ps->busy && !ps->reads;
}

void lease_rest(struct poll_state *ps)
{
  if (ps->giving && idle(ps))
    master_beat_soon(ps->w->m);
}

void lease_wait(struct poll_state *ps, struct lease_waiter *wt, void (*cb)(bool got, struct lease_waiter *wt))
{
  wt->cb = cb;
  wt->since_ms = clock_mono_ms();
  ps->wants |= list_empty(&ps->waiters);
  list_push(&ps->waiters, &wt->node);
  master_beat_soon(ps->w->m);
}

/* before: only those who have waited since then or longer. */
static void answer_waiters(struct poll_state *ps, bool got, int64_t before)
{
  list_each(it, &ps->waiters) {
    struct lease_waiter *wt = list_of(it, struct lease_waiter, node);
    if (wt->since_ms > before)
      continue;
    list_remove(it);
    wt->cb(got, wt);
  }
}

void lease_forget(struct poll_state *ps)
{
  ps->epoch = 0;
  answer_waiters(ps, false, INT64_MAX);
}

/* ---- a heartbeat ---- */

static cJSON *standing(struct poll_state *ps, int64_t now)
{
  cJSON *o = cJSON_CreateObject();

  cJSON_AddNumberToObject(o, "poll", (double)ps->id);
  cJSON_AddNumberToObject(o, "epoch", (double)ps->epoch);
  if (ps->due_ms != POLL_NEVER)
    cJSON_AddNumberToObject(o, "due", (double)(ps->due_ms - now));
  cJSON_AddNumberToObject(o, "asked", (double)ps->served);
  if (ps->looked_ms)
    cJSON_AddNumberToObject(o, "looked", (double)(clock_wall_ms() - ps->looked_ms));
  cJSON_AddNumberToObject(o, "failures", ps->failures);
  if (ps->trouble) {
    cJSON_AddStringToObject(o, "trouble", ps->trouble);
    cJSON_AddNumberToObject(o, "since", (double)(now - ps->trouble_ms));
  }
  return o;
}

/* All repositories, of worlds that are not gone. */
static struct poll_state *first(const struct worlds *w)
{
  return w->n ? w->v[0]->polls[0] : NULL;
}

static struct poll_state *next(const struct poll_state *ps)
{
  const struct worlds *w = ps->w;

  if (ps->codebase + 1 < ps->p->conf->ncodebases)
    return ps->p->polls[ps->codebase + 1];
  for (int i = 0; i + 1 < w->n; i++)
    if (w->v[i] == ps->p)
      return w->v[i + 1]->polls[0];
  return NULL;
}

static void add_id(struct buf *b, int64_t id)
{
  buf_addf(b, "%c%" PRId64, b->len ? ',' : '{', id);
}

static const char *array(struct buf *b)
{
  buf_adds(b, b->len ? "}" : "{}");
  return buf_str(b);
}

void worlds_beat(struct worlds *w, struct db_tx *tx)
{
  struct buf ours, epochs, give, want;
  cJSON *told = cJSON_CreateArray();
  int64_t now = clock_mono_ms();
  char *json;

  buf_init(&ours, BUF_NO_MAX);
  buf_init(&epochs, BUF_NO_MAX);
  buf_init(&give, BUF_NO_MAX);
  buf_init(&want, BUF_NO_MAX);
  for (struct poll_state *ps = first(w); ps; ps = next(ps)) {
    if (!ps->id || !poll_conf(ps)->git)
      continue;
    add_id(&ours, ps->id);
    add_id(&epochs, ps->epoch);
    ps->beaten = true;
    if (ps->epoch && ps->changed) {
      cJSON_AddItemToArray(told, standing(ps, now));
      ps->changed = false;
      ps->telling = true;
    }
    if (ps->giving && idle(ps))
      add_id(&give, ps->id);
    if (!ps->epoch && !list_empty(&ps->waiters))
      add_id(&want, ps->id);
  }
  json = cJSON_PrintUnformatted(told);
  db_q(tx, SQL_poll_beat, "nssss", w->m->id, array(&ours), json, array(&give), array(&want));
  db_q(tx, SQL_poll_news, "nss", w->m->id, buf_str(&ours), array(&epochs));
  free(json);
  cJSON_Delete(told);
  buf_free(&ours);
  buf_free(&epochs);
  buf_free(&give);
  buf_free(&want);
}

/* ---- its answer ---- */

static void lost(struct poll_state *ps)
{
  log_info("poll", "%s: another master looks at the repository from now on", ps->name);
  gith_kill(ps->w->m->gith, ps->mirror, "another master looks at the repository now");
  ps->epoch = 0;
  ps->giving = false;
  uv_timer_stop(&ps->timer);
  if (ps->once_more)
    worlds_look(ps->w, ps->p, ps->codebase); /* there */
}

static void got(struct poll_state *ps, int64_t epoch, const struct db_res *res, int stmt, int row)
{
  int64_t due = db_num(res, stmt, row, NEWS_DUE), poll = poll_conf(ps)->poll_ms;

  if (ps->epoch)
    lost(ps); /* it was another's in between, or a former life's */
  ps->epoch = epoch;
  ps->served = db_num(res, stmt, row, NEWS_SERVED);
  ps->failures = (int)db_num(res, stmt, row, NEWS_FAILURES);
  if (!poll)
    ps->due_ms = POLL_NEVER;
  else if (ps->at_once || db_null(res, stmt, row, NEWS_DUE)) /* the project is a new one, or has just become another one */
    ps->due_ms = 0;
  else
    ps->due_ms = clock_mono_ms() + (due < poll || ps->failures ? due : poll);
  ps->at_once = false;
  worlds_kick(ps->w);
  events_kick(ps->w->m->events);
  log_debug("poll", "%s: this master looks at the repository from now on, lease %" PRId64, ps->name, epoch);
}

static struct poll_state *of_row(const struct worlds *w, int64_t id)
{
  for (struct poll_state *ps = first(w); ps; ps = next(ps))
    if (ps->id == id)
      return ps;
  return NULL;
}

static void take_news(struct poll_state *ps, const struct db_res *res, int stmt, int row)
{
  int64_t epoch = db_num(res, stmt, row, NEWS_EPOCH);

  if (epoch && epoch != ps->epoch)
    got(ps, epoch, res, stmt, row);
  else if (!epoch && ps->epoch)
    lost(ps);
  if (!epoch)
    return;
  ps->asked = db_num(res, stmt, row, NEWS_ASKED);
  ps->giving = db_num(res, stmt, row, NEWS_WANTED) != 0;
  if (!ps->giving && ps->asked > ps->served)
    worlds_look(ps->w, ps->p, ps->codebase);
}

static void lease_ends(uv_timer_t *t)
{
  struct worlds *w = t->data;

  for (struct poll_state *ps = first(w); ps && !w->m->stopping; ps = next(ps))
    if (ps->epoch && !idle(ps))
      gith_kill(w->m->gith, ps->mirror, "the database is away, and another master may look at the repository");
}

/* Of those that the heartbeat was about; since then worlds may have come. */
static void after(struct poll_state *ps, bool ok)
{
  if (!ok)
    ps->changed |= ps->telling;
  ps->telling = ps->beaten = false;
}

void worlds_stop(struct worlds *w)
{
  for (struct poll_state *ps = first(w); ps; ps = next(ps))
    answer_waiters(ps, false, INT64_MAX);
}

int worlds_beaten(struct worlds *w, const struct db_res *res, int stmt, int64_t sent_ms)
{
  int64_t now = clock_mono_ms();

  if (db_err(res) || w->m->stopping) {
    for (struct poll_state *ps = first(w); ps; ps = next(ps))
      after(ps, false);
    if (w->m->stopping)
      worlds_stop(w);
    return 0;
  }
  w->lease_until = sent_ms + LEASE_MS;
  uv_timer_start(&w->lease, lease_ends, w->lease_until > now ? (uint64_t)(w->lease_until - now) : 0, 0);
  for (struct poll_state *ps = first(w); ps; ps = next(ps))
    if (ps->beaten)
      ps->giving = false; /* else it is told again */
  for (int i = 0; i < db_rows(res, stmt + 1); i++) {
    struct poll_state *ps = of_row(w, db_num(res, stmt + 1, i, NEWS_POLL));
    if (ps && ps->beaten)
      take_news(ps, res, stmt + 1, i);
  }
  for (struct poll_state *ps = first(w); ps; ps = next(ps)) {
    if (ps->beaten && ps->wants) { /* and then it hands the repository over, if it can */
      hints_say(w->m->hints, HINT_looks);
      ps->wants = false;
    }
    if (ps->epoch && now < w->lease_until) /* also where somebody else wants it already: else two that want it would hand it to and fro, and neither would come to do anything */
      answer_waiters(ps, true, INT64_MAX);
    else
      answer_waiters(ps, false, now - WANT_MS);
    after(ps, true);
    lease_rest(ps);
    poller_arm(ps);
  }
  return (int)db_num(res, stmt, 0, 0);
}

void lease_init(struct worlds *w)
{
  uv_timer_init(w->m->loop, &w->lease);
  w->lease.data = w;
  w->handles++;
}

static void closed(uv_handle_t *h)
{
  worlds_closed(h->data);
}

void lease_close(struct worlds *w)
{
  uv_close((uv_handle_t *)&w->lease, closed);
}
