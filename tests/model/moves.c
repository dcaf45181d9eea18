/* What befalls a world: one move at a time by chance; and at the end the calm, in which all that was begun must end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/conf/conf.h"
#include "tests/model/model.h"

enum { CALM_ROUNDS = 120, WAIT_ALL_MS = 32 * 60000, WAIT_LONG_MS = 60000, WAIT_LOOK_MS = 5000 /* each master looks so often whatever it hears */, WAIT_SHORT_MS = 200 /* for what is only put off a little, as the numbers of events */ };

/* ---- people ---- */

/* A row's id by chance; 0: there is none. */
static int64_t any_id(const char *from)
{
  char *sql = xasprintf("select id from %s order by id", from);
  PGresult *res = server_ask(sql, NULL, 0);
  int n = PQntuples(res);
  int64_t id = n ? strtoll(PQgetvalue(res, (int)chance((uint64_t)n), 0), NULL, 10) : 0;

  PQclear(res);
  free(sql);
  return id;
}

static void act(enum action a, const char *name, const char *letter, int64_t n, const char *json)
{
  struct sim_master *m = sim_any();
  char id[64];

  if (!m || !n)
    return;
  tally(name);
  snprintf(id, sizeof id, "%s%" PRId64, letter, n);
  model_tell("%s: %s %s", name, id, json ? json : "");
  sim_act(m, a, id, json);
}

static void cancel(void)
{
  const char *others = chance_of(50) ? "{\"others\": true}" : NULL;

  switch (chance(3)) {
  case 0: act(ACT_CANCEL_REQUEST, "people: cancel a request", "r", any_id("build_request where state <> 'done' or id % 3 = 0"), others); return;
  case 1: act(ACT_CANCEL_BUILDSET, "people: cancel a buildset", "s", any_id("buildset where state = 'open' or id % 3 = 0"), others); return;
  default: act(ACT_CANCEL_REQUEST, "people: cancel what is built", "r", any_id("build_request where state = 'claimed'"), others); return;
  }
}

static void pause_some(bool on)
{
  static const char *const of[2][4] = { { "people: resume all", "people: resume a project", "people: resume a builder", "people: resume a worker" }, { "people: pause all", "people: pause a project", "people: pause a builder", "people: pause a worker" } };
  struct sim_master *m = sim_any();
  char object[64], *json;
  int what = (int)chance(4);

  tally(of[on][what]);
  switch (what) {
  case 0: snprintf(object, sizeof object, "all"); break;
  case 1: snprintf(object, sizeof object, SITE_PROJECT); break;
  case 2: snprintf(object, sizeof object, SITE_PROJECT "/b%d", (int)chance((uint64_t)sim.site.builders)); break;
  default: snprintf(object, sizeof object, "w%d", 1 + (int)chance((uint64_t)sim.site.workers)); break;
  }
  json = on && chance_of(50) ? xasprintf("{\"object\": \"%s\", \"for\": %d}", object, 1000 * (1 + (int)chance(30))) : xasprintf("{\"object\": \"%s\"}", object);
  model_tell("%s %s", on ? "pause" : "resume", json);
  if (m)
    sim_act(m, on ? ACT_PAUSE : ACT_RESUME, "", json);
  free(json);
}

static void approve(int64_t request)
{
  act(ACT_REQUEST_APPROVE, "people: approve", "r", request, NULL);
}

static void approve_all(void)
{
  PGresult *res = server_ask("select id from build_request where state = 'waiting' and why is not null order by id", NULL, 0);

  for (int i = 0; i < PQntuples(res); i++)
    approve(strtoll(PQgetvalue(res, i, 0), NULL, 10));
  PQclear(res);
}

static void people(void)
{
  char json[64];

  switch (chance(12)) {
  case 0: case 1: case 2: cancel(); return;
  case 3: case 4: pause_some(true); return;
  case 5: case 6: pause_some(false); return;
  case 7: case 8:
    snprintf(json, sizeof json, "{\"priority\": %d}", (int)chance(101));
    if (chance_of(50))
      act(ACT_PRIORITY_REQUEST, "people: priority of a request", "r", any_id("build_request where state <> 'done'"), json);
    else
      act(ACT_PRIORITY_BUILDSET, "people: priority of a buildset", "s", any_id("buildset where state = 'open'"), json);
    return;
  case 9: approve_all(); return;
  case 10: act(ACT_FORGET_GHOSTS, "people: forget ghosts", "w", 1 + (int64_t)chance((uint64_t)sim.site.workers), NULL); return;
  default: {
    char *id = server_text("select 'p/' || u.name || '/' || b.number from build b join builder u on u.id = b.builder where b.state = 'done' order by b.id desc limit 1");
    struct sim_master *m = sim_any();
    if (*id && m) {
      bool only = chance_of(50);
      tally(only ? "people: rerun only this" : "people: rerun");
      model_tell("rerun %s%s", id, only ? " only" : "");
      sim_act(m, ACT_RERUN, id, only ? "{\"only\": true}" : NULL);
    }
    free(id);
    return;
  }
  }
}

/* ---- workers ---- */

static struct sim_worker *any_worker(void)
{
  return &sim.workers[chance((uint64_t)sim.site.workers)];
}

/* By an address in its list: also of a master that is frozen, whose kernel answers. */
void moves_dial(struct sim_worker *w)
{
  int from = (int)chance(MODEL_MASTERS);

  for (int i = 0; !w->link && i < MODEL_MASTERS; i++) {
    struct sim_master *m = &sim.masters[(from + i) % MODEL_MASTERS];
    if (m->alive && m->m.id)
      worker_connect(w, m);
  }
}

static void end_command(struct sim_worker *w, struct sim_command *c, bool well)
{
  if (c->killed)
    worker_exit(w, c, "signaled", 15, "cancel");
  else if (well || chance_of(65))
    worker_exit(w, c, "exited", 0, "-");
  else if (chance_of(sim.site.checkouts ? 30 : 75))
    worker_exit(w, c, "exited", 1, "-");
  else if (chance_of(50))
    worker_exit(w, c, "failed", 2, "start");
  else
    worker_exit(w, c, "lost", 0, "minder");
}

static int all_run(void)
{
  int n = 0;

  for (int i = 0; i < sim.site.workers; i++)
    n += worker_runs(&sim.workers[i]);
  return n;
}

/* One that runs, anywhere. */
static void end_one(void)
{
  int n = all_run(), k;

  if (!n)
    return;
  k = (int)chance((uint64_t)n);
  for (int i = 0; i < sim.site.workers; i++)
    for (int j = 0; j < sim.workers[i].ncommands; j++)
      if (sim.workers[i].commands[j].runs && k-- == 0) {
        end_command(&sim.workers[i], &sim.workers[i].commands[j], false);
        return;
      }
}

static void end_killed(void)
{
  for (int i = 0; i < sim.site.workers; i++) {
    struct sim_worker *w = &sim.workers[i];
    for (int k = 0; k < w->ncommands; k++)
      if (w->commands[k].runs && w->commands[k].killed)
        end_command(w, &w->commands[k], true);
  }
}

static void worker_fault(void)
{
  struct sim_worker *w = any_worker();

  switch (chance(6)) {
  case 0: case 1: case 2: case 3:
    if (w->link) {
      tally("fault: a link is cut");
      model_tell("the link of %s is cut", w->name);
      link_cut(w->link, chance_of(50));
    }
    return;
  case 4: worker_reboot(w); return;
  default: worker_replace(w); return;
  }
}

/* ---- masters ---- */

static void master_fault(void)
{
  struct sim_master *m = &sim.masters[chance(MODEL_MASTERS)];

  if (!m->alive)
    sim_start(m);
  else if (m->frozen && chance_of(70))
    sim_freeze(m, false);
  else if (!m->base.up && chance_of(70))
    sim_unplug(m, false);
  else if (chance_of(30) && !m->frozen && m->base.up)
    sim_unplug(m, true);
  else if (chance_of(45) && !m->frozen)
    sim_freeze(m, true);
  else {
    tally(m->frozen ? "fault: a silent master is killed" : !m->base.up ? "fault: a master without database is killed" : "fault: a master is killed");
    sim_kill(m);
  }
}

/* A master falls silent with something on its way to the database; its workers go to the other one, which takes their builds over and goes on with them; then the first one speaks again. */
static void take_over(void)
{
  struct sim_master *old = sim_any(), *other = old == &sim.masters[0] ? &sim.masters[1] : &sim.masters[0];

  if (!old)
    return;
  tally("fault: a silent master's workers are taken over");
  if (!other->alive)
    sim_start(other);
  sim_settle();
  for (int n = all_run(); n > 0; n--)
    end_one();
  sim_pump(1 + (int)chance(8));
  sim_freeze(old, true);
  for (int i = 0; i < sim.site.workers; i++) {
    struct sim_worker *w = &sim.workers[i];
    if (w->link)
      link_cut(w->link, chance_of(50));
    if (other->alive && !other->frozen && other->m.id && !w->link)
      worker_connect(w, other);
  }
  sim_settle();
  if (chance_of(50))
    end_one();
  sim_pump((int)chance(20));
  sim_freeze(old, false);
}

/* Who was not the first to claim something looks again a little later. */
static void reasons(void)
{
  sim_wait(WAIT_SHORT_MS);
  check_reasons();
}

static void wait_some(void)
{
  static const int64_t all[] = { 50, 1000, 1000, 5000, 5000, 12000, 20000, 40000, 120000, 27 * 60000, WAIT_ALL_MS };
  int64_t ms = all[chance(COUNT(all))];

  tally(ms == WAIT_ALL_MS ? "time: longer than the window" : ms > WAIT_LONG_MS ? "time: minutes" : ms >= WAIT_LOOK_MS ? "time: until each has looked" : "time: short");
  sim_wait(ms);
  for (int i = 0; i < MODEL_MASTERS; i++)
    if (sim.masters[i].alive && (sim.masters[i].frozen || !sim.masters[i].base.up))
      return;
  if (ms >= WAIT_LOOK_MS)
    reasons();
}

/* A worker without a link, where there is one; or all at once. */
static void dial(void)
{
  bool all = chance_of(30);
  int from = (int)chance((uint64_t)sim.site.workers);

  for (int i = 0; i < sim.site.workers; i++) {
    struct sim_worker *w = &sim.workers[(from + i) % sim.site.workers];
    if (w->link)
      continue;
    moves_dial(w);
    if (!all)
      return;
  }
}

void moves_one(void)
{
  uint64_t k = chance(100);

  if (k < (uint64_t)sim.site.size->new) {
    struct sim_master *m = sim_any();
    if (m && chance_of(25))
      site_change(&sim.site, m);
    else if (m)
      site_ask(&sim.site, m);
  } else if (k < 28) {
    dial();
  } else if (k < 54) {
    end_one();
  } else if (k < 70) {
    people();
  } else if (k < 78) {
    worker_fault();
  } else if (k < 84) {
    master_fault();
  } else if (k < 89) {
    take_over();
  } else {
    wait_some();
  }
  if (chance_of(40))
    end_killed();
  if (chance_of(50))
    sim_pump((int)chance(30));
  else
    sim_settle();
}

/* Most of a small world's workers are there before anything is asked of them. */
void moves_first(void)
{
  bool late = chance_of(15); /* all who come then begin at once with what waits, each for itself */

  if (late) {
    sim_settle();
    site_ask(&sim.site, &sim.masters[0]);
    site_ask(&sim.site, &sim.masters[0]);
    sim_settle();
  }
  for (int i = 0; i < sim.site.workers; i++)
    if (chance_of(90))
      moves_dial(&sim.workers[i]);
  if (chance_of(50))
    sim_settle();
  if (!late)
    site_ask(&sim.site, &sim.masters[0]);
  if (chance_of(50))
    sim_settle();
}

/* ---- the calm ---- */

void moves_end_all(void)
{
  for (int i = 0; i < sim.site.workers; i++) {
    struct sim_worker *w = &sim.workers[i];
    for (int k = 0; k < w->ncommands; k++)
      if (w->commands[k].runs)
        end_command(w, &w->commands[k], true);
  }
}

static void resume(const char *object)
{
  struct sim_master *m = sim_any();
  const char *rest = strchr(object, '/');
  char *json = xasprintf("{\"object\": \"%s\"}", rest ? rest + 1 : "all");

  model_tell("resume %s", json);
  if (m)
    sim_act(m, ACT_RESUME, "", json);
  free(json);
}

/* What people do about what hinders; false: nothing is left of anything. */
static bool help(void)
{
  PGresult *res = server_ask("select 'open', null from (select from build_request where state <> 'done' union all select from build where state <> 'done' union all select from outbox limit 1) x "
                             "union all select * from (select 'approve', id::text from build_request where state = 'waiting' and why is not null order by id) y union all select * from (select 'resume', object from pause order by object) z", NULL, 0);
  bool left = false;

  for (int i = 0; i < PQntuples(res); i++) {
    const char *what = PQgetvalue(res, i, 0), *of = PQgetvalue(res, i, 1);
    if (!strcmp(what, "open"))
      left = true;
    else if (!strcmp(what, "approve"))
      approve(strtoll(of, NULL, 10));
    else
      resume(of);
  }
  PQclear(res);
  for (int i = 0; i < sim.site.workers; i++)
    left |= sim.workers[i].ncommands > 0;
  return left;
}

static bool calm_round(void)
{
  bool left;

  for (int i = 0; i < MODEL_MASTERS; i++) {
    if (sim.masters[i].alive && sim.masters[i].frozen)
      sim_freeze(&sim.masters[i], false);
    if (sim.masters[i].alive && !sim.masters[i].base.up)
      sim_unplug(&sim.masters[i], false);
  }
  if (!sim.masters[0].alive && !sim.masters[1].alive)
    sim_start(&sim.masters[0]);
  sim_settle();
  for (int i = 0; i < sim.site.workers; i++)
    moves_dial(&sim.workers[i]);
  sim_settle();
  left = help();
  moves_end_all();
  sim_settle();
  return left;
}

static void not_over(void)
{
  char *what = server_text("select string_agg(x, '; ') from (select 'r' || id || ' ' || state from build_request where state <> 'done' union all select 'build ' || id || ' of r' || request || ' ' || state from build where state <> 'done' union all select 'outbox ' || count(*) from outbox having count(*) > 0) y(x)");
  int commands = 0;

  for (int i = 0; i < sim.site.workers; i++)
    commands += sim.workers[i].ncommands;
  model_bad("it does not end though nothing hinders it: %s; %d commands in spools", what, commands);
  free(what);
}

void moves_calm(void)
{
  bool left = true;
  int waits = 0;

  model_tell("-- faults stop --");
  for (int i = 0; i < CALM_ROUNDS && left && !model_badness(); i++) {
    int64_t before = server_done;
    left = calm_round();
    check_world();
    server_land(NULL);
    if (left && server_done == before) { /* all that is left waits for time */
      sim_wait(!waits ? WAIT_SHORT_MS : waits % 2 ? WAIT_LOOK_MS : WAIT_LONG_MS);
      if (waits++)
        reasons();
    }
  }
  if (left && !model_badness())
    not_over();
}
