#include "master/dispatch/eta.h"

#include <stdlib.h>

#include "common/mem.h"

enum { OVERDUE_PART = 10 };   /* what runs longer than such builds do is not about to end for that: a tenth of what it ran is added */
#define NEVER (INT64_MAX / 4) /* two of them can be added */

struct play {
  const struct eta_site *site;
  const struct eta_wait *queue;
  struct eta_begin *out;
  int which;
  int *first;        /* of each worker: where its slots begin in free_at */
  int64_t *free_at;  /* of each slot, ms from now */
  int *first_unit;   /* of each lock: where its units begin in unit_at; of one per worker, those of the first worker, then those of the next */
  int64_t *unit_at;  /* of each unit of a lock, likewise; rising within one lock */
  int *late;         /* of the queue: whose locks come after its slot; they wait in no slot */
  int64_t *late_at;  /* when they have them */
  int *late_worker;  /* where, where that matters; -1 */
  int nlate;
};

static int64_t takes(const struct eta_takes *t, int which)
{
  return t->ms[ETA_LIKELY] < 0 ? NEVER : t->ms[which];
}

static int64_t left_of(const struct eta_takes *t, int64_t ran, int which)
{
  int64_t ms = takes(t, which);

  if (ms > ran)
    return ms >= NEVER ? NEVER : ms - ran;
  return which == ETA_LOW ? 0 : ran / OVERDUE_PART;
}

static int64_t later(int64_t a, int64_t b)
{
  return a > b ? a : b;
}

static int64_t after(int64_t at, int64_t ms)
{
  return at >= NEVER || ms >= NEVER ? NEVER : at + ms;
}

/* ---- slots ---- */

/* The slot of a worker that is free first; NULL: it has none. */
static int64_t *soonest_of(const struct play *p, int worker)
{
  int64_t *best = NULL;

  for (int i = p->first[worker]; i < p->first[worker + 1]; i++)
    if (!best || p->free_at[i] < *best)
      best = &p->free_at[i];
  return best;
}

/* The same of all that could take it, or of the only one that may. */
static int64_t *soonest(const struct play *p, const struct eta_wait *w, int only)
{
  int64_t *best = NULL, *at;

  for (int i = 0; i < w->n; i++) {
    at = only >= 0 && w->workers[i] != only ? NULL : soonest_of(p, w->workers[i]);
    if (at && (!best || *at < *best))
      best = at;
  }
  return best;
}

/* ---- locks ---- */

static int64_t *units_of(const struct play *p, int lock, int worker)
{
  return p->unit_at + p->first_unit[lock] + (p->site->locks[lock].per_worker ? worker * p->site->locks[lock].count : 0);
}

/* How many units that is. */
static int amount(const struct play *p, const struct eta_lock_want *w)
{
  return w->n ? w->n : p->site->locks[w->lock].count;
}

static int64_t had_at(const struct play *p, const struct eta_lock_want *w, int worker)
{
  return units_of(p, w->lock, worker)[amount(p, w) - 1];
}

static int by_time(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

  return x < y ? -1 : x > y;
}

static void hold(const struct play *p, const struct eta_lock_want *w, int worker, int64_t until)
{
  int64_t *units = units_of(p, w->lock, worker);
  int count = p->site->locks[w->lock].count, n = amount(p, w);

  for (int i = 0; i < n && i < count; i++)
    units[i] = later(units[i], until);
  qsort(units, (size_t)count, sizeof *units, by_time);
}

static void hold_all(const struct play *p, const struct eta_wait *w, int worker, int64_t until)
{
  for (int i = 0; i < w->nlocks; i++)
    if (!p->site->locks[w->locks[i].lock].per_worker || worker >= 0)
      hold(p, &w->locks[i], worker, until);
}

/* Whether there is as much of each as it wants: else it is in no line, and in nobody's way. */
static bool can_be_had(const struct play *p, const struct eta_wait *w)
{
  for (int i = 0; i < w->nlocks; i++)
    if (amount(p, &w->locks[i]) > p->site->locks[w->locks[i].lock].count || !amount(p, &w->locks[i]))
      return false;
  return true;
}

/* When it has all of its locks; of those per worker, there (worker < 0: these are left out). */
static int64_t locks_at(const struct play *p, const struct eta_wait *w, int worker)
{
  int64_t at = 0;

  for (int i = 0; i < w->nlocks; i++)
    if (!p->site->locks[w->locks[i].lock].per_worker || worker >= 0)
      at = later(at, had_at(p, &w->locks[i], worker));
  return at;
}

static bool wants_there(const struct play *p, const struct eta_wait *w)
{
  for (int i = 0; i < w->nlocks; i++)
    if (p->site->locks[w->locks[i].lock].per_worker)
      return true;
  return false;
}

/* The worker on which it can begin first, where its locks are that worker's; -1: where it is free first. */
static int worker_for(const struct play *p, const struct eta_wait *w)
{
  int64_t best_at = NEVER, at, *slot;
  int best = w->n ? w->workers[0] : -1;

  if (!w->nlocks || !wants_there(p, w))
    return -1;
  for (int i = 0; i < w->n; i++) {
    slot = soonest_of(p, w->workers[i]);
    at = slot ? later(*slot, locks_at(p, w, w->workers[i])) : NEVER;
    if (at < best_at) {
      best_at = at;
      best = w->workers[i];
    }
  }
  return best;
}

/* ---- the play ---- */

/* It begins there, once it has its locks. */
static void begin(struct play *p, int i, int worker, int64_t locks)
{
  const struct eta_wait *w = &p->queue[i];
  int64_t *slot = soonest(p, w, worker), at = slot ? later(*slot, locks) : NEVER;

  p->out[i].ms[p->which] = at >= NEVER ? -1 : at;
  if (slot && at < NEVER)
    *slot = after(at, takes(&w->takes, p->which));
  hold_all(p, w, worker, after(at, takes(&w->takes, p->which)));
}

/* Those that have their locks by then begin before who comes to a slot then. */
static void settle(struct play *p, int64_t by)
{
  for (;;) {
    int first = -1;
    for (int i = 0; i < p->nlate; i++)
      if (first < 0 || p->late_at[i] < p->late_at[first])
        first = i;
    if (first < 0 || p->late_at[first] > by)
      return;
    begin(p, p->late[first], p->late_worker[first], p->late_at[first]);
    p->nlate--;
    for (int i = first; i < p->nlate; i++) {
      p->late[i] = p->late[i + 1];
      p->late_at[i] = p->late_at[i + 1];
      p->late_worker[i] = p->late_worker[i + 1];
    }
  }
}

static void one(struct play *p, int i)
{
  const struct eta_wait *w = &p->queue[i];
  int worker;
  int64_t locks, *slot;

  p->out[i].ms[p->which] = -1;
  if (!can_be_had(p, w))
    return;
  worker = worker_for(p, w);
  slot = soonest(p, w, worker);
  if (!slot)
    return;
  locks = locks_at(p, w, worker);
  if (locks >= NEVER) { /* behind somebody of whom nobody knows how long it takes */
    hold_all(p, w, worker, NEVER);
    return;
  }
  if (locks > *slot) {
    p->late[p->nlate] = i;
    p->late_at[p->nlate] = locks;
    p->late_worker[p->nlate++] = worker;
    hold_all(p, w, worker, after(locks, takes(&w->takes, p->which)));
    return;
  }
  settle(p, *slot);
  begin(p, i, worker, locks);
}

/* Builds that hold more slots than there are (the number was made smaller) go on: the longest of them count for nothing. */
static void set_out(struct play *p)
{
  const struct eta_site *s = p->site;
  int *used = xcalloc((size_t)s->nworkers + 1, sizeof *used);

  for (int i = 0; i < p->first[s->nworkers]; i++)
    p->free_at[i] = 0;
  for (int i = 0; i < p->first_unit[s->nlocks]; i++)
    p->unit_at[i] = 0;
  for (int i = 0; i < s->nruns; i++) {
    int w = s->runs[i].worker;
    if (used[w] < s->slots[w])
      p->free_at[p->first[w] + used[w]++] = left_of(&s->runs[i].takes, s->runs[i].ran, p->which);
  }
  for (int i = 0; i < s->nholds; i++)
    if (!s->locks[s->holds[i].held.lock].per_worker || s->holds[i].worker >= 0)
      hold(p, &s->holds[i].held, s->holds[i].worker, left_of(&s->holds[i].takes, s->holds[i].ran, p->which));
  free(used);
}

/* Shorter builds may, by another order of slots, let one begin later: then the span is closed around what is likely. What can't be told in one case can't in any. */
static void tidy(struct eta_begin *b)
{
  for (int k = 0; k < ETA_CASES; k++)
    if (b->ms[k] < 0) {
      *b = (struct eta_begin){ { -1, -1, -1 } };
      return;
    }
  if (b->ms[ETA_LOW] > b->ms[ETA_LIKELY])
    b->ms[ETA_LOW] = b->ms[ETA_LIKELY];
  if (b->ms[ETA_HIGH] < b->ms[ETA_LIKELY])
    b->ms[ETA_HIGH] = b->ms[ETA_LIKELY];
}

static void measure(struct play *p)
{
  const struct eta_site *s = p->site;

  p->first = xcalloc((size_t)s->nworkers + 1, sizeof *p->first);
  for (int i = 0; i < s->nworkers; i++)
    p->first[i + 1] = p->first[i] + s->slots[i];
  p->first_unit = xcalloc((size_t)s->nlocks + 1, sizeof *p->first_unit);
  for (int i = 0; i < s->nlocks; i++)
    p->first_unit[i + 1] = p->first_unit[i] + s->locks[i].count * (s->locks[i].per_worker ? s->nworkers : 1);
  p->free_at = xcalloc((size_t)p->first[s->nworkers] + 1, sizeof *p->free_at);
  p->unit_at = xcalloc((size_t)p->first_unit[s->nlocks] + 1, sizeof *p->unit_at);
}

void eta_reckon(const struct eta_site *site, const struct eta_wait *queue, int nqueue, struct eta_begin *out)
{
  struct play p = { .site = site, .queue = queue, .out = out, .late = xcalloc((size_t)nqueue + 1, sizeof *p.late), .late_at = xcalloc((size_t)nqueue + 1, sizeof *p.late_at),
                    .late_worker = xcalloc((size_t)nqueue + 1, sizeof *p.late_worker) };

  measure(&p);
  for (p.which = 0; p.which < ETA_CASES; p.which++) {
    set_out(&p);
    for (int i = 0; i < nqueue; i++)
      one(&p, i);
    settle(&p, NEVER);
  }
  for (int i = 0; i < nqueue; i++)
    tidy(&out[i]);
  free(p.first);
  free(p.free_at);
  free(p.first_unit);
  free(p.unit_at);
  free(p.late);
  free(p.late_at);
  free(p.late_worker);
}
