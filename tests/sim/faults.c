/* What befalls the simulated world, by chance. */
#include <string.h>

#include "tests/sim/sim.h"

enum { FULL_BYTES = 40000, PLENTY = 1 << 30, SMALL = 50000, SMALL_MORE = 50000 };

/* What of it all a seed has at all: some of each, so that what needs few faults is found too. */
static bool kinds[11];
enum { ACKS = 50, MOMENTS = 60, SYNCS = 150, TRANSACTIONS = 80 /* in up to so many one that fails */ };

void faults_begin(void)
{
  int percent = 20 + (int)chance(70);

  for (size_t i = 0; i < COUNT(kinds); i++)
    kinds[i] = chance_of(percent);
  for (int i = 0; i < nhosts; i++)
    hosts[i].disk_max = hosts[i].disk_size = chance_of(percent / 6) ? SMALL + (int64_t)chance(SMALL_MORE) : PLENTY;
  tap_says_twice = chance_of(percent);
  tap_loses_acks = chance_of(percent / 4) ? ACKS + (int)chance(100 - ACKS) : 0;
  disk_breaks = chance_of(percent / 3) ? SYNCS : 0;
  disk_moments = chance_of(percent / 3) ? MOMENTS : 0;
  disk_no_acks = chance_of(percent / 4);
  base_fails = chance_of(percent / 3) ? 8 + (int)chance(TRANSACTIONS) : 0;
}

static struct host *any_host(void) { return &hosts[chance((uint64_t)nhosts)]; }
static struct sim_master *any_master(void) { return &sim.masters[chance(MODEL_MASTERS)]; }

/* One of its processes, some calls from now. */
static void kill_process(bool agent)
{
  struct proc *found = NULL;
  uint64_t n = 0;

  list_each(it, &procs) {
    struct proc *p = list_of(it, struct proc, node);
    if (!p->zombie && p->kind == (agent ? PROC_AGENT : PROC_MINDER) && !p->die_in && !chance(++n))
      found = p;
  }
  if (!found)
    return;
  trace(agent ? "an agent is to die" : "a minder is to die", found->pid, 0);
  if (!agent)
    excuse(found);
  if (!agent && chance_of(30)) { /* as where the host stops */
    proc_signal(found, SIGTERM);
    return;
  }
  found->die_in = 1 + (int)chance(chance_of(50) ? 12 : 120);
}

static void power(struct host *h)
{
  trace("the power goes", h->n, 0);
  excuse_host(h);
  net_cut_all(h, true);
  proc_power_loss(h);
  disk_power_loss(h);
  if (chance_of(20)) {
    trace("a host is set up anew", h->n, 0);
    host_empty(h);
  }
  for (int i = 0; i < 32; i++)
    h->boot[i] = "0123456789abcdef"[chance(16)];
  h->agent_at = model_now_ms + 1000 + (int64_t)chance(20000);
}

static void master(struct sim_master *m)
{
  if (m->alive && chance_of(60))
    sim_kill(m);
  else if (!m->alive)
    sim_start(m);
  else if (m->m.id) {
    if (m->base.up && chance_of(50)) /* it is cut off from everybody */
      net_cut_master(m, true);
    sim_unplug(m, m->base.up);
  }
}

static void disk(struct host *h)
{
  bool full = h->disk_max == h->disk_size;

  trace(full ? "a disk is full" : "a disk has room", h->n, disk_used(h));
  h->disk_max = full ? disk_used(h) + (int64_t)chance(chance_of(50) ? 500 : FULL_BYTES) : h->disk_size;
}

void faults_one(void)
{
  struct host *h = any_host();
  struct conn *c;
  int64_t build;
  int n = (int)chance((uint64_t)store_builds());
  int what = (int)chance(COUNT(kinds));

  if (!kinds[what])
    return;
  switch (what) {
  case 0:
  case 1:
    if ((c = net_any()))
      net_cut(c, what == 1 && chance_of(40));
    return;
  case 2: kill_process(true); return;
  case 3: if (chance_of(25)) kill_process(false); return;
  case 4: if (chance_of(15)) power(h); return;
  case 5:
    if (chance_of(60))
      master(any_master());
    return;
  case 6: disk(h); return;
  case 7:
    if (h->agent && chance_of(50))
      proc_signal(h->agent, SIGTERM);
    return;
  case 8:
    if (!chance_of(30))
      return;
    h->asleep_until = model_now_ms + (int64_t)chance(120000);
    h->sleeps_from = model_now_ms;
    trace("a host sleeps", h->n, h->asleep_until);
    return;
  case 9:
    if (chance_of(30) && store_give_up(n))
      trace("given up", n, 0);
    return;
  default:
    if (chance_of(20) && store_cancel(n, &build)) {
      trace("cancelled", build, 0);
      for (int i = 0; i < MODEL_MASTERS; i++)
        if (sim.masters[i].alive)
          cancel_build(&sim.masters[i], build);
    } else if (chance_of(20)) {
      trace("the network is down, or up", !net_down, 0);
      net_down = !net_down;
      if (net_down)
        net_cut_all(NULL, chance_of(50));
    }
  }
}

void faults_calm(void)
{
  net_down = tap_says_twice = disk_no_acks = false;
  tap_loses_acks = 0;
  disk_breaks = disk_moments = base_fails = 0;
  for (int i = 0; i < nhosts; i++) {
    hosts[i].disk_max = hosts[i].disk_size;
    if (!hosts[i].agent && hosts[i].agent_at > model_now_ms + 1000)
      hosts[i].agent_at = model_now_ms + 1000;
  }
  list_each(it, &procs)
    list_of(it, struct proc, node)->die_in = 0;
  for (int i = 0; i < MODEL_MASTERS; i++) {
    struct sim_master *m = &sim.masters[i];
    if (!m->alive)
      sim_start(m);
    else if (!m->base.up)
      sim_unplug(m, false);
  }
}
