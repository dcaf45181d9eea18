#include "master/dispatch/eta_now.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/field.h"
#include "master/dispatch/wanted.h"
#include "master/workers/session.h"

struct eta_now {
  struct master *m;
  struct field field;
  int *slots;           /* of each worker of the field; none where it takes nothing now */
  struct eta_run *runs;
  struct eta_wait *queue; /* workers of each are its own */
  struct eta_begin *begins;
  int nruns, cap_runs, nqueue;
};

struct eta_now *eta_now_new(struct master *m)
{
  struct eta_now *e = xcalloc(1, sizeof *e);

  e->m = m;
  field_gather(&e->field, m);
  e->slots = xcalloc((size_t)e->field.n + 1, sizeof *e->slots);
  for (int i = 0; i < e->field.n; i++)
    e->slots[i] = field_takes(&e->field.w[i]) ? e->field.w[i].is.slots : 0;
  e->queue = xcalloc(ETA_QUEUE_MAX, sizeof *e->queue);
  return e;
}

void eta_now_free(struct eta_now *e)
{
  for (int i = 0; i < e->nqueue; i++)
    free((void *)(uintptr_t)e->queue[i].workers);
  free(e->slots);
  free(e->runs);
  free(e->queue);
  free(e->begins);
  free(e);
}

static struct eta_takes read_takes(const char *text)
{
  struct eta_takes t;
  char *end = (char *)(uintptr_t)text;

  for (int k = 0; k < ETA_CASES; k++) {
    const char *from = end;
    t.ms[k] = strtoll(from, &end, 10);
    if (end == from)
      return (struct eta_takes){ { -1, -1, -1 } };
  }
  return t;
}

void eta_now_runs(struct eta_now *e, int64_t worker, int64_t ran_ms, const char *takes)
{
  int at = 0;

  while (at < e->field.n && e->field.of[at]->worker != worker)
    at++;
  if (at == e->field.n || !e->slots[at])
    return;
  if (e->nruns == e->cap_runs) {
    e->cap_runs = e->cap_runs ? e->cap_runs * 2 : 64;
    e->runs = xrealloc(e->runs, (size_t)e->cap_runs * sizeof *e->runs);
  }
  e->runs[e->nruns++] = (struct eta_run){ at, ran_ms, read_takes(takes) };
}

/* Those that could take it, were a slot free. */
static int *could(struct eta_now *e, const struct why_of *of, int *n)
{
  const struct want_term **terms = wanted_terms(e->m, of);
  int *set = xcalloc((size_t)e->field.n + 1, sizeof *set);

  *n = 0;
  for (int i = 0; i < e->field.n; i++)
    if (e->slots[i] && choose_has_tags(&e->field.w[i], of->tags, of->ntags) && want_all_met(terms, of->nwants, &e->field.w[i].is))
      set[(*n)++] = i;
  free(terms);
  return set;
}

void eta_now_waits(struct eta_now *e, const struct why_of *of, const char *takes)
{
  struct eta_wait *w;

  if (e->nqueue == ETA_QUEUE_MAX)
    return;
  w = &e->queue[e->nqueue++];
  w->takes = read_takes(takes);
  w->workers = could(e, of, &w->n);
}

void eta_now_reckon(struct eta_now *e)
{
  e->begins = xcalloc((size_t)e->nqueue + 1, sizeof *e->begins);
  eta_reckon(e->slots, e->field.n, e->runs, e->nruns, e->queue, e->nqueue, e->begins);
}

const struct eta_begin *eta_now_get(const struct eta_now *e, int n)
{
  return n < e->nqueue && e->begins[n].ms[ETA_LIKELY] >= 0 ? &e->begins[n] : NULL;
}
