/* The world of one seed: masters that are started, frozen and killed, what may happen next, and time. */
#include <assert.h>
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "master/conf/conf.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pipes.h"
#include "master/dispatch/reasons.h"
#include "master/dispatch/waits.h"
#include "master/events/events.h"
#include "master/events/hints.h"
#include "master/logs/watch.h"
#include "master/workers/session.h"
#include "tests/model/model.h"

enum { SESSIONS_STMT = 2 }; /* of a heartbeat */
enum { SETTLE_MAX = 20000, WAIT_SLICES = 2, WAIT_STEP_MS = 5000, WAIT_BEAT_MS = 1000, WAIT_LOST_MS = SESSIONS_ALONE_MS / 2 };

struct world_sim sim;

void __wrap_worlds_kick(struct worlds *w);
void __wrap_master_beat_soon(struct master *m);
void __wrap_worlds_kick(struct worlds *w) { (void)w; }
void __wrap_master_beat_soon(struct master *m) { (void)m; }

/* ---- masters ---- */

static void identified(struct db_res *res, void *arg)
{
  struct sim_master *m = arg;

  if (db_err(res))
    return;
  if (!m->m.id)
    m->m.id = db_num(res, 0, 0, 0);
  events_db_up(m->m.events);
  sessions_db_up(m->m.sessions);
  hints_others(m->m.hints, MODEL_MASTERS - 1);
  dispatch_kick(m->m.dispatch);
  waits_kick(m->m.waits);
}

void sim_start(struct sim_master *s)
{
  struct master *m = &s->m;
  struct db_tx *tx;

  tally("master: starts");
  model_tell("master %ld starts", (long)(s - sim.masters));
  memset(s, 0, sizeof *s);
  loop_begin(&s->loop);
  base_begin(&s->base);
  s->alive = true;
  m->loop = &s->loop;
  m->db = base_db(&s->base);
  m->conf = sim.site.conf;
  m->cluster = xstrdup("model");
  m->incarnation = 1;
  m->config_version = 1;
  m->watches = watches_new(m);
  m->events = events_new(m);
  m->hints = hints_new(m);
  m->sessions = sessions_new(m);
  m->dispatch = dispatch_new(m);
  m->reasons = reasons_new(m);
  m->waits = waits_new(m);
  tx = db_tx(m->db, DB_ANY);
  db_q(tx, SQL_master_add, "snss", "model", INT64_C(1), s == sim.masters ? "first" : "second", NULL);
  db_send(tx, identified, s);
}

/* Its connections to the database break, as master.c has it: on_down, and on_up once they stand again. */
void sim_unplug(struct sim_master *s, bool off)
{
  struct db_tx *tx;

  (void)tally_of(off, "fault: a master loses the database", "master: is back at the database");
  model_tell("master %ld %s the database", (long)(s - sim.masters), off ? "loses" : "is back at");
  if (off) {
    s->lost_ms = model_now_ms;
    base_lose(&s->base, true);
    while (!list_empty(&s->base.answered)) /* all are told before that it is away */
      base_tell(&s->base, 0);
    sessions_db_down(s->m.sessions);
    return;
  }
  s->base.up = true;
  tx = db_tx(s->m.db, DB_ANY);
  db_q(tx, s->m.id ? SQL_cluster_get : SQL_master_add, s->m.id ? "" : "snss", "model", INT64_C(1), "again", NULL);
  db_send(tx, identified, s);
}

/* Nothing of it goes anywhere from now on; then its memory is given back as at an orderly end, whose words nobody hears. */
void sim_kill(struct sim_master *s)
{
  struct master *m = &s->m;
  bool more = true;

  model_tell("master %ld is killed", (long)(s - sim.masters));
  base_lose(&s->base, !s->frozen);
  for (struct list *it = sim.links.next, *next; it != &sim.links; it = next) {
    struct link *l = (struct link *)(void *)it; /* its node is its first member */
    next = it->next;
    if (link_master(l) == s)
      link_cut(l, true);
  }
  m->stopping = true;
  while (more) {
    more = false;
    while (!list_empty(&s->base.answered)) {
      base_tell(&s->base, 0);
      more = true;
    }
    for (struct list *it = sim.links.next, *next; it != &sim.links; it = next) {
      struct link *l = (struct link *)(void *)it;
      next = it->next;
      if (link_master(l) == s) {
        link_finish(l);
        more = true;
      }
    }
  }
  waits_free(m->waits);
  dispatch_free(m->dispatch);
  reasons_free(m->reasons);
  hints_free(m->hints);
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
  s->alive = s->frozen = false;
}

void sim_freeze(struct sim_master *m, bool on)
{
  (void)tally_of(on, "fault: a master is silent", "master: goes on");
  model_tell("master %ld %s", (long)(m - sim.masters), on ? "is frozen" : "goes on");
  m->frozen = on;
}

struct sim_master *sim_any(void)
{
  int from = (int)chance(MODEL_MASTERS);

  for (int i = 0; i < MODEL_MASTERS; i++) {
    struct sim_master *m = &sim.masters[(from + i) % MODEL_MASTERS];
    if (m->alive && !m->frozen && m->base.up && m->m.id)
      return m;
  }
  return NULL;
}

/* ---- what may happen next ---- */

enum kind { DO, TELL, TURN, TO_MASTER, TO_WORKER, FINISH };
struct choice {
  enum kind kind;
  struct sim_master *m;
  struct link *l;
  int n;
};
enum { CHOICES_MAX = 512 };
static struct choice choices[CHOICES_MAX];
static int nchoices;

static void may(enum kind kind, struct sim_master *m, struct link *l, int n)
{
  if (nchoices < CHOICES_MAX)
    choices[nchoices++] = (struct choice){ kind, m, l, n };
}

static void gather(void)
{
  nchoices = 0;
  for (int i = 0; i < MODEL_MASTERS; i++) {
    struct sim_master *m = &sim.masters[i];
    int k = 0, n;
    if (!m->alive || m->frozen)
      continue;
    n = base_ready(&m->base);
    for (int j = 0; j < n; j++)
      may(DO, m, NULL, j);
    list_each(it, &m->base.answered)
      may(TELL, m, NULL, k++);
    if (loop_has(&m->loop))
      may(TURN, m, NULL, 0);
  }
  list_each(it, &sim.links) {
    struct link *l = (struct link *)(void *)it;
    struct sim_master *m = link_master(l);
    if (m->alive && !m->frozen && link_has(l, true))
      may(TO_MASTER, m, l, 0);
    if (link_has(l, false))
      may(TO_WORKER, m, l, 0);
    else if (link_closing(l) && !m->frozen)
      may(FINISH, m, l, 0);
  }
}

bool sim_step(void)
{
  struct choice c;

  gather();
  if (!nchoices || model_badness())
    return false;
  c = choices[chance((uint64_t)nchoices)];
  switch (c.kind) {
  case DO: base_do(&c.m->base, c.n); break;
  case TELL: base_tell(&c.m->base, c.n); break;
  case TURN: loop_turn(&c.m->loop); break;
  case TO_MASTER: link_deliver(c.l, true); break;
  case TO_WORKER: link_deliver(c.l, false); break;
  case FINISH: link_finish(c.l); break;
  }
  return true;
}

void sim_pump(int steps)
{
  while (steps-- > 0 && sim_step())
    ;
}

void sim_settle(void)
{
  for (int i = 0; i < SETTLE_MAX; i++)
    if (!sim_step())
      return;
  model_bad("it does not come to rest");
}

/* ---- time ---- */

static void beaten(struct db_res *res, void *arg)
{
  struct sim_master *m = arg;

  m->beats--;
  sessions_beaten(m->m.sessions, res, SESSIONS_STMT);
}

/* As master.c, on_beat. */
static void beat(struct sim_master *m)
{
  struct db_tx *tx;

  if (!m->m.id || m->beats || !m->base.up)
    return;
  m->beats++;
  tx = db_tx(m->m.db, DB_ANY);
  db_q(tx, SQL_master_beat, "n", m->m.id);
  db_q(tx, SQL_sessions_orphaned, "n", m->m.id);
  sessions_beat(m->m.sessions, tx);
  db_send(tx, beaten, m);
}

/* A master that has just lost the database closes its links after a time: until then it goes by in smaller pieces. */
static bool one_is_lost(void)
{
  for (int i = 0; i < MODEL_MASTERS; i++) {
    const struct sim_master *m = &sim.masters[i];
    if (m->alive && !m->frozen && !m->base.up && m->m.id && model_now_ms - m->lost_ms <= SESSIONS_ALONE_MS)
      return true;
  }
  return false;
}

void sim_wait(int64_t ms)
{
  int64_t slice = ms > WAIT_STEP_MS ? ms / WAIT_SLICES + 1 : ms;

  model_tell("%" PRId64 " ms go by", ms);
  while (ms > 0 && !model_badness()) {
    int64_t n = slice < ms ? slice : ms;
    if (n > WAIT_LOST_MS && one_is_lost())
      n = WAIT_LOST_MS;
    model_now_ms += n;
    ms -= n;
    base_tick();
    for (int i = 0; i < sim.site.workers; i++)
      worker_time(&sim.workers[i]);
    for (int i = 0; i < MODEL_MASTERS && n >= WAIT_BEAT_MS; i++)
      if (sim.masters[i].alive && !sim.masters[i].frozen)
        beat(&sim.masters[i]);
    sim_settle();
  }
}

/* ---- people ---- */

static void acted(int status, const char *body, void *arg)
{
  (void)arg;
  sim.acts--;
  model_tell("    answered %d %s", status, body ? body : "");
  if (status == 500)
    model_bad("an action is answered 500: %s", body);
}

void sim_act(struct sim_master *m, enum action a, const char *id, const char *json)
{
  cJSON *args = json ? cJSON_Parse(json) : NULL;

  sim.acts++;
  act_run(&m->m, a, id, args, "model", acted, NULL);
  cJSON_Delete(args);
}

/* ---- a world's beginning and end ---- */

void sim_begin(bool second)
{
  chance_maps();
  list_init(&sim.links);
  model_now_ms = 1000;
  sim.acts = 0;
  for (int i = 0; i < sim.site.workers; i++)
    worker_begin(&sim.workers[i], i);
  sim_start(&sim.masters[0]);
  if (second)
    sim_start(&sim.masters[1]);
  sim_pump(10);
}

void sim_end(void)
{
  for (int i = 0; i < MODEL_MASTERS; i++)
    if (sim.masters[i].alive)
      sim_kill(&sim.masters[i]);
  pipes_close();
}
