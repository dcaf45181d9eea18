#include "master/dispatch/eta.h"

#include <stdlib.h>

#include "common/mem.h"

enum { OVERDUE_PART = 10 };   /* what runs longer than such builds do is not about to end for that: a tenth of what it ran is added */
#define NEVER (INT64_MAX / 4) /* two of them can be added */

struct play {
  const int *slots;
  int nworkers;
  int *first;       /* of each worker: where its slots begin in free_at */
  int64_t *free_at; /* of each slot, ms from now */
};

static int64_t takes(const struct eta_takes *t, int which)
{
  return t->ms[ETA_LIKELY] < 0 ? NEVER : t->ms[which];
}

static int64_t left_of(const struct eta_run *r, int which)
{
  int64_t ms = takes(&r->takes, which);

  if (ms > r->ran)
    return ms >= NEVER ? NEVER : ms - r->ran;
  return which == ETA_LOW ? 0 : r->ran / OVERDUE_PART;
}

/* The slot of a worker that is free first. */
static int64_t *soonest_of(const struct play *p, int worker)
{
  int64_t *best = NULL;

  for (int i = 0; i < p->slots[worker]; i++) {
    int64_t *at = &p->free_at[p->first[worker] + i];
    if (!best || *at < *best)
      best = at;
  }
  return best;
}

static int64_t *soonest(const struct play *p, const struct eta_wait *w)
{
  int64_t *best = NULL, *at;

  for (int i = 0; i < w->n; i++) {
    at = soonest_of(p, w->workers[i]);
    if (at && (!best || *at < *best))
      best = at;
  }
  return best;
}

/* Builds that hold more slots than there are (the number was made smaller) go on: the longest of them count for nothing. */
static void play(const struct play *p, int which, const struct eta_run *runs, int nruns, const struct eta_wait *queue, int nqueue, struct eta_begin *out)
{
  int *used = xcalloc((size_t)p->nworkers + 1, sizeof *used);
  int64_t *at, ms;

  for (int i = 0; i < p->first[p->nworkers]; i++)
    p->free_at[i] = 0;
  for (int i = 0; i < nruns; i++) {
    int w = runs[i].worker;
    if (used[w] < p->slots[w])
      p->free_at[p->first[w] + used[w]++] = left_of(&runs[i], which);
  }
  for (int i = 0; i < nqueue; i++) {
    at = soonest(p, &queue[i]);
    out[i].ms[which] = !at || *at >= NEVER ? -1 : *at;
    ms = takes(&queue[i].takes, which);
    if (at)
      *at = *at >= NEVER || ms >= NEVER ? NEVER : *at + ms;
  }
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

void eta_reckon(const int *slots, int nworkers, const struct eta_run *runs, int nruns, const struct eta_wait *queue, int nqueue, struct eta_begin *out)
{
  struct play p = { .slots = slots, .nworkers = nworkers, .first = xcalloc((size_t)nworkers + 1, sizeof *p.first) };

  for (int i = 0; i < nworkers; i++)
    p.first[i + 1] = p.first[i] + slots[i];
  p.free_at = xcalloc((size_t)p.first[nworkers] + 1, sizeof *p.free_at);
  for (int which = 0; which < ETA_CASES; which++)
    play(&p, which, runs, nruns, queue, nqueue, out);
  for (int i = 0; i < nqueue; i++)
    tidy(&out[i]);
  free(p.first);
  free(p.free_at);
}
