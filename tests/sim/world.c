/* The world of one seed: what may happen next, time, faults for a while, and then peace, in which all must end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/dispatch/pipes.h"
#include "master/dispatch/run.h"
#include "tests/sim/sim.h"

enum { EVENTS_MAX = 1000000, CALM_MS = 3600000, CHOICES_MAX = 256, STEP_MAX_MS = 10000 };

struct world_sim sim;
struct host hosts[SIM_HOSTS];
int nhosts;
bool sim_calm;
uint64_t trace_hash;
static int64_t events;

/* ---- what happened ---- */

void trace(const char *what, int64_t a, int64_t b)
{
  uint64_t h = trace_hash;

  for (const char *p = what; *p; p++)
    h = (h ^ (unsigned char)*p) * 0x100000001b3u;
  h = (h ^ (uint64_t)a) * 0x9e3779b97f4a7c15u;
  h = (h ^ (uint64_t)b ^ (uint64_t)model_now_ms << 20) * 0x9e3779b97f4a7c15u;
  trace_hash = h ^ h >> 29;
  if (model_verbose)
    model_tell("%s %" PRId64 " %" PRId64, what, a, b);
}

/* ---- hosts ---- */

int64_t host_mono(const struct host *h)
{
  return model_now_ms - h->slept - (h->asleep_until > model_now_ms ? model_now_ms - h->sleeps_from : 0);
}

void host_empty(struct host *h)
{
  struct node *w = node_new(h, NODE_FOLDER);

  if (h->root)
    node_unref(h->root);
  h->root = node_new(h, NODE_FOLDER);
  (void)disk_add(h->root, "w", w);
  node_unref(w);
  (void)disk_sync(h->root);
}

static void host_begin(struct host *h, int n)
{
  memset(h, 0, sizeof *h);
  h->n = n;
  snprintf(h->name, sizeof h->name, "w%d", n + 1);
  for (int i = 0; i < 32; i++)
    h->boot[i] = "0123456789abcdef"[chance(16)];
  list_init(&h->nodes);
  h->disk_max = INT64_MAX / 2;
  host_empty(h);
  h->token = (struct token){ .address = { { .host = xstrdup("m0"), .is_unix = true }, { .host = xstrdup("m1"), .is_unix = true } }, .addresses = 2, .name = h->name, .secret = h->name };
  h->agent_at = model_now_ms + (int64_t)chance(500);
}

static void host_end(struct host *h)
{
  proc_power_loss(h);
  node_unref(h->root);
  free(h->token.address[0].host);
  free(h->token.address[1].host);
}

static void host_turn(struct host *h)
{
  if (h->asleep_until && h->asleep_until <= model_now_ms) {
    h->slept += h->asleep_until - h->sleeps_from;
    h->asleep_until = 0;
  }
  if (!h->agent && model_now_ms >= h->agent_at && !h->asleep_until)
    proc_agent(h);
}

/* ---- what may happen next ---- */

enum kind { RUN, CHILD, NET, MESSAGE, DO, TELL, TURN };
static struct choice {
  enum kind kind;
  void *of;
  int n;
} choices[CHOICES_MAX];
static int nchoices;

static void may(enum kind kind, void *of, int n)
{
  if (nchoices < CHOICES_MAX)
    choices[nchoices++] = (struct choice){ kind, of, n };
}

static void gather_master(struct sim_master *m)
{
  int ready = base_ready(&m->base), answers = base_answers(&m->base);

  for (int i = 0; i < ready; i++)
    may(DO, m, i);
  for (int i = 0; i < answers; i++)
    may(TELL, m, i);
  if (loop_has(&m->loop))
    may(TURN, m, 0);
  if (net_has_message(m))
    may(MESSAGE, m, 0);
}

static void gather(void)
{
  int n = net_choices();

  nchoices = 0;
  for (int i = 0; i < n; i++)
    may(NET, NULL, i);
  list_each(it, &procs) {
    struct proc *p = list_of(it, struct proc, node);
    if (proc_may_run(p))
      may(RUN, p, 0);
    else if (p->program && !p->zombie && !p->stopped && program_due(p->program) <= model_now_ms && p->host->asleep_until <= model_now_ms)
      may(CHILD, p, 0);
  }
  for (int i = 0; i < MODEL_MASTERS; i++)
    if (sim.masters[i].alive)
      gather_master(&sim.masters[i]);
}

static bool step(void)
{
  struct sim_master *m;
  int i;

  gather();
  if (!nchoices || model_badness())
    return false;
  events++;
  i = (int)chance((uint64_t)nchoices);
  m = choices[i].of;
  switch (choices[i].kind) {
  case RUN: proc_run(choices[i].of); break;
  case CHILD: program_turn(choices[i].of); break;
  case NET: net_do(choices[i].n); break;
  case MESSAGE: net_deliver(m); break;
  case DO: base_do(&m->base, choices[i].n); break;
  case TELL: base_tell(&m->base, choices[i].n); break;
  case TURN: loop_turn(&m->loop); break;
  }
  for (int k = 0; k < MODEL_MASTERS; k++)
    if (sim.masters[k].alive)
      net_finish(&sim.masters[k]);
  return true;
}

/* ---- what must hold ---- */

static struct node *spool_of(const struct host *h)
{
  struct node *w = node_find(h->root, "w");

  return w ? node_find(w, "spool") : NULL;
}

/* No command takes more room than it may. */
static void check_spools(const struct host *h)
{
  const struct node *spool = spool_of(h);

  for (int i = 0; spool && i < spool->nentries; i++) {
    const struct node *folder = spool->entries[i].node;
    size_t n[SIM_STREAMS] = { 0 };
    for (int k = 0; k < folder->nentries; k++)
      n[strstr(folder->entries[k].name, "-1") != NULL] += folder->entries[k].node->len;
    if (n[0] > SIM_SPOOL_MAX || n[1] > SIM_SPOOL_FILE_MAX)
      model_bad("%s takes %zu bytes in the spool, and %zu of its file", spool->entries[i].name, n[0], n[1]);
  }
}

/* What is left: nothing but folders that are kept for the next command. */
static const char *left(void)
{
  for (int i = 0; i < nhosts; i++) {
    const struct node *spool = spool_of(&hosts[i]);
    for (int k = 0; spool && k < spool->nentries; k++)
      if (*spool->entries[k].name != '.')
        return "something in a spool";
  }
  list_each(it, &procs)
    if (list_of(it, struct proc, node)->kind != PROC_AGENT)
      return "a process";
  return NULL;
}

/* ---- time ---- */

static void time_goes(void)
{
  int64_t due = proc_due(), at = net_due();

  masters_check();
  procs_check();
  due = at < due ? at : due;
  for (int i = 0; i < nhosts; i++) {
    at = hosts[i].agent ? hosts[i].asleep_until ? hosts[i].asleep_until : INT64_MAX : hosts[i].agent_at;
    due = at < due ? at : due;
  }
  if (due <= model_now_ms)
    due = model_now_ms + 1;
  model_now_ms = due < model_now_ms + STEP_MAX_MS ? due : model_now_ms + STEP_MAX_MS;
  for (int i = 0; i < nhosts; i++) {
    host_turn(&hosts[i]);
    check_spools(&hosts[i]);
  }
  net_tick();
}

/* ---- a seed ---- */

static void begin(uint64_t seed)
{
  static const char texts[] = "builders:\n  b1: {checkout: none, steps: [{name: s1, run: it}]}\n  b2: {checkout: none, steps: [{name: s1, run: it}, {name: s2, run: it, logs: {f: s2}}]}\n"
    "  b3: {checkout: none, steps: [{name: s1, run: it}, {name: s2, run: it}, {name: s3, run: it, always: true}]}\n";

  if (!sim.site.conf)
    site_given(&sim.site, SIM_HOSTS, "allow_local: true\nsame_user: true\nmin_free: 0\nworkers:\n  w1: {slots: 3}\n  w2: {slots: 3}\nprojects:\n  " SITE_PROJECT ": {git: /nowhere}\n", texts);
  chance_from(seed);
  program_reset(seed);
  model_now_ms = 1000;
  model_time_on = true;
  trace_hash = events = 0;
  sim_calm = false;
  store_begin();
  net_begin();
  proc_reset();
  chance_maps();
  nhosts = chance_of(75) ? 1 : SIM_HOSTS;
  for (int i = 0; i < nhosts; i++) {
    host_begin(&hosts[i], i);
    for (uint64_t k = 1 + chance(SIM_BUILDS); k; k--)
      store_build(i + 1, 1 + (int)chance(SIM_STEPS));
  }
  faults_begin();
  sim_start(&sim.masters[0]);
  if (chance_of(40))
    sim_start(&sim.masters[1]);
}

static void end(void)
{
  for (int i = 0; i < MODEL_MASTERS; i++)
    if (sim.masters[i].alive)
      sim_kill(&sim.masters[i]);
  for (int i = 0; i < nhosts; i++)
    host_end(&hosts[i]);
  net_end();
  store_end();
  pipes_close();
}

struct result_of world_play(uint64_t seed)
{
  int64_t faults_until, over;
  int often;

  begin(seed);
  faults_until = model_now_ms + 2000 + (int64_t)chance(90000);
  often = 3 + (int)chance(chance_of(60) ? 30 : 300);
  while (!model_badness() && model_now_ms < faults_until && !store_over() && events < EVENTS_MAX) {
    if (!step())
      time_goes();
    if (!chance((uint64_t)often))
      faults_one();
  }
  sim_calm = true;
  faults_calm();
  program_calm();
  over = model_now_ms + CALM_MS;
  while (!model_badness() && model_now_ms < over && events < EVENTS_MAX && !(store_over() && !left()))
    if (!step())
      time_goes();
  if (events >= EVENTS_MAX)
    model_bad("it does not come to rest");
  store_check();
  if (left())
    model_bad("at the end there is %s left", left());
  struct result_of r = { trace_hash ^ store_sum(), events, model_now_ms };
  end();
  return r;
}

void cancel_build(struct sim_master *m, int64_t build) { run_cancel_build(&m->m, build); }
