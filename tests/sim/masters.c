/* Masters: started, killed, cut off from the database, as master.c does it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "master/conf/conf.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/run.h"
#include "master/dispatch/waits.h"
#include "master/events/events.h"
#include "master/logs/append.h"
#include "master/logs/watch.h"
#include "master/workers/session.h"
#include "tests/sim/sim.h"

void __wrap_events_kick(struct events *e);
void __wrap_dispatch_kick(struct dispatch *d);
void __wrap_waits_kick(struct waits *w);
void __wrap_worlds_kick(struct worlds *w);
void __wrap_master_beat_soon(struct master *m);
void __wrap_dispatch_overdue(uv_timer_t *t);
bool __wrap_watch_any(const struct watches *w, int64_t build);

/* Nothing is numbered, claimed or waited for here. */
void __wrap_events_kick(struct events *e) { (void)e; }
void __wrap_dispatch_kick(struct dispatch *d) { (void)d; }
void __wrap_waits_kick(struct waits *w) { (void)w; }
void __wrap_worlds_kick(struct worlds *w) { (void)w; }
void __wrap_master_beat_soon(struct master *m) { (void)m; }

void __wrap_dispatch_overdue(uv_timer_t *t) { (void)t; }
bool __wrap_watch_any(const struct watches *w, int64_t build) { return (void)w, (void)build, chance_of(30); }

void __real_log_end_init(struct log_end *e, int64_t log, struct id epoch, int64_t length, uint32_t crc, int64_t lines);
void __wrap_log_end_init(struct log_end *e, int64_t log, struct id epoch, int64_t length, uint32_t crc, int64_t lines);
void __real_log_end_grow(struct log_end *e);
void __wrap_log_end_grow(struct log_end *e);

/* Less credit, so that it matters, and in proportion to the worker's spool (sim.h). No chunk is larger. */
void __wrap_log_end_init(struct log_end *e, int64_t log, struct id epoch, int64_t length, uint32_t crc, int64_t lines)
{
  __real_log_end_init(e, log, epoch, length, crc, lines);
  e->window = SIM_CHUNK + (int64_t)chance(SIM_WINDOW - SIM_CHUNK);
}

void __wrap_log_end_grow(struct log_end *e)
{
  __real_log_end_grow(e);
  e->window = e->window < SIM_WINDOW ? e->window : SIM_WINDOW;
}

static void identified(struct db_res *res, void *arg)
{
  struct sim_master *m = arg;

  if (db_err(res))
    return;
  if (!m->m.id)
    m->m.id = db_num(res, 0, 0, 0);
  sessions_db_up(m->m.sessions);
}

static void identify(struct sim_master *s)
{
  struct db_tx *tx = db_tx(s->m.db, DB_ANY);

  db_q(tx, s->m.id ? SQL_cluster_get : SQL_master_add, s->m.id ? "" : "snss", "sim", INT64_C(1), "it", NULL);
  db_send(tx, identified, s);
}

void sim_start(struct sim_master *s)
{
  struct master *m = &s->m;

  trace("master starts", s - sim.masters, 0);
  memset(s, 0, sizeof *s);
  loop_begin(&s->loop);
  base_begin(&s->base);
  s->alive = true;
  m->loop = &s->loop;
  m->db = base_db(&s->base);
  m->conf = sim.site.conf;
  m->cluster = xstrdup("sim");
  m->incarnation = 1;
  m->config_version = 1;
  m->watches = watches_new(m);
  m->events = events_new(m);
  m->sessions = sessions_new(m);
  m->dispatch = dispatch_new(m);
  m->waits = waits_new(m);
  identify(s);
}

void sim_unplug(struct sim_master *s, bool off)
{
  trace(off ? "a master loses the database" : "a master is back at the database", s - sim.masters, 0);
  if (!off) {
    s->base.up = true;
    identify(s);
    return;
  }
  base_lose(&s->base, true);
  while (!list_empty(&s->base.answered)) /* all are told before that it is away */
    base_tell(&s->base, 0);
  sessions_db_down(s->m.sessions);
}

/* What came of a log is in the database, or on its way there. */
void masters_check(void)
{
  for (int i = 0; i < MODEL_MASTERS; i++)
    if (sim.masters[i].alive)
      list_each(it, sessions_list(sim.masters[i].m.sessions)) {
        struct session *s = list_of(it, struct session, node);
        list_each(jt, &s->runs) {
          const struct run *r = list_of(jt, struct run, node);
          if (r->log.queued && !r->log.in_flight)
            model_bad("a master keeps %d chunks of command %lld for itself", r->log.queued, (long long)r->cmd.n);
        }
      }
}

/* Nothing of it goes anywhere from now on; then its memory is given back as at an orderly end, whose words nobody hears. */
void sim_kill(struct sim_master *s)
{
  struct master *m = &s->m;

  trace("a master is killed", s - sim.masters, 0);
  base_lose(&s->base, true);
  net_cut_master(s, false);
  m->stopping = true;
  while (!list_empty(&s->base.answered))
    base_tell(&s->base, 0);
  net_finish(s);
  while (!list_empty(&s->base.answered))
    base_tell(&s->base, 0);
  waits_free(m->waits);
  dispatch_free(m->dispatch);
  events_free(m->events);
  watches_free(m->watches);
  sessions_free(m->sessions);
  while (loop_has(&s->loop) || !list_empty(&s->base.answered))
    if (!list_empty(&s->base.answered))
      base_tell(&s->base, 0);
    else
      loop_turn(&s->loop);
  assert(loop_handles(&s->loop) == 0);
  free(m->cluster);
  s->alive = false;
}
