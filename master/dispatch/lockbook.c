/* See lockbook.h. A cell is what there is in one place: a lock, or of a lock per worker its part on one worker. */
#include "master/dispatch/lockbook.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/mem.h"

enum { SAY_HOLDERS_MAX = 4 };

struct cell {
  const struct lock_row *lock;
  int held;              /* of it, those with known names (busy) left out */
  int nbusy;
  bool *busy;            /* of its units */
  bool any, exclusive;   /* somebody has some; all */
  int ahead, nahead;     /* what those want who are in line so far; how many these are */
  bool ahead_exclusive;
};

struct cells {
  const struct lockbook *b;
  struct map *of;        /* lock and worker → cell */
};

static struct cell *cell(struct cells *c, int lock, int64_t worker)
{
  const struct lock_row *l = &c->b->locks[lock];
  uint64_t key = ((uint64_t)(lock + 1) << 40) | (l->per_worker ? (uint64_t)worker + 1 : 0);
  struct cell *x = map_get_n(c->of, key);

  if (!x) {
    x = xcalloc(1, sizeof *x);
    x->lock = l;
    x->busy = xcalloc((size_t)l->nunits + 1, sizeof *x->busy);
    map_set_n(c->of, key, x);
  }
  return x;
}

static void cells_free(struct cells *c)
{
  struct cell *x;
  size_t at = 0;

  while ((x = map_next(c->of, &at))) {
    free(x->busy);
    free(x);
  }
  map_free(c->of);
}

static void mark(struct cell *x, const char *unit)
{
  for (int i = 0; i < x->lock->nunits; i++)
    if (!x->busy[i] && !strcmp(x->lock->units[i], unit)) {
      x->busy[i] = true;
      x->nbusy++;
    }
}

/* A unit that has lost its name in the configuration is nobody's any more: it is not counted. */
static void put_hold(struct cell *x, const struct lock_hold *h)
{
  x->any = true;
  if (!h->n)
    x->exclusive = true;
  else if (x->lock->nunits && h->nunits)
    for (int i = 0; i < h->nunits; i++)
      mark(x, h->units[i]);
  else
    x->held += h->n;
}

static int left(const struct cell *x)
{
  int n = x->lock->count - x->nbusy - x->held;

  return x->exclusive || n < 0 ? 0 : n;
}

static bool possible(const struct lockbook *b, const struct lock_want *w)
{
  return w->lock >= 0 && !b->locks[w->lock].gone && w->n <= b->locks[w->lock].count;
}

static bool available(const struct cell *x, const struct lock_want *w)
{
  if (!w->n)
    return !x->any && !x->nahead;
  return !x->exclusive && !x->ahead_exclusive && left(x) - x->ahead >= w->n;
}

/* The first that are free; all of them where it has the lock for itself. */
static void give(struct cell *x, struct lock_waiter *w, int i)
{
  int n = w->wants[i].n ? w->wants[i].n : x->lock->nunits;

  x->any = true;
  if (!w->wants[i].n)
    x->exclusive = true;
  if (!x->lock->nunits) {
    x->held += w->wants[i].n;
    return;
  }
  w->got[i] = xcalloc((size_t)n + 1, sizeof *w->got[i]);
  for (int u = 0; u < x->lock->nunits && w->ngot[i] < n; u++)
    if (!x->busy[u]) {
      x->busy[u] = true;
      x->nbusy++;
      w->got[i][w->ngot[i]++] = u;
    }
}

static void stand(struct cell *x, const struct lock_want *want)
{
  x->nahead++;
  x->ahead += want->n;
  x->ahead_exclusive |= !want->n;
}

/* On the worker k of its list; -1: none of its wants is missing there. */
static int missing(struct cells *c, const struct lock_waiter *w, int k)
{
  for (int i = 0; i < w->nwants; i++)
    if (!available(cell(c, w->wants[i].lock, w->workers[k]), &w->wants[i]))
      return i;
  return -1;
}

static void stand_in_lines(struct cells *c, struct lock_waiter *w)
{
  unsigned lines = 0;

  w->at = missing(c, w, 0);
  w->place = cell(c, w->wants[w->at].lock, w->workers[0])->nahead + 1;
  for (int i = 0; i < w->nwants; i++)
    for (int k = 0; k < w->nworkers; k++) {
      struct cell *x = cell(c, w->wants[i].lock, w->workers[k]);
      if (available(x, &w->wants[i]))
        continue;
      lines |= 1u << i;
      stand(x, &w->wants[i]);
      if (!x->lock->per_worker)
        break;
    }
  w->lines = lines;
}

static void stand_as_told(struct cells *c, struct lock_waiter *w)
{
  for (int i = 0; i < w->nwants; i++)
    if (w->foreign & 1u << i && possible(c->b, &w->wants[i]) && !c->b->locks[w->wants[i].lock].per_worker) {
      struct cell *x = cell(c, w->wants[i].lock, 0);
      if (w->at < 0) {
        w->at = i;
        w->place = x->nahead + 1;
      }
      w->lines |= 1u << i;
      stand(x, &w->wants[i]);
    }
}

static void one(struct cells *c, struct lock_waiter *w)
{
  w->worker = w->at = -1;
  w->place = 0;
  w->lines = 0;
  for (int i = 0; i < w->nwants && w->at < 0; i++)
    if (!possible(c->b, &w->wants[i]))
      w->at = i;
  if (w->at >= 0)
    return;
  if (!w->nworkers) {
    stand_as_told(c, w);
    return;
  }
  for (int k = 0; k < w->nworkers && w->worker < 0; k++)
    if (missing(c, w, k) < 0)
      w->worker = k;
  if (w->worker < 0) {
    stand_in_lines(c, w);
    return;
  }
  for (int i = 0; i < w->nwants; i++)
    give(cell(c, w->wants[i].lock, w->workers[w->worker]), w, i);
}

static void put_holds(struct cells *c)
{
  for (int i = 0; i < c->b->nholds; i++)
    put_hold(cell(c, c->b->holds[i].lock, c->b->holds[i].worker), &c->b->holds[i]);
}

void lockbook_line(struct lockbook *b)
{
  struct cells c = { b, map_new() };

  put_holds(&c);
  for (int i = 0; i < b->nwaiters; i++)
    one(&c, &b->waiters[i]);
  cells_free(&c);
}

int lockbook_find(const struct lockbook *b, const char *name)
{
  for (int i = 0; i < b->nlocks; i++)
    if (!strcmp(b->locks[i].name, name))
      return i;
  return -1;
}

int lockbook_free(const struct lockbook *b, int lock, int64_t worker)
{
  struct cells c = { b, map_new() };
  int n;

  put_holds(&c);
  n = left(cell(&c, lock, worker));
  cells_free(&c);
  return n;
}

const struct lock_waiter *lockbook_waiter(const struct lockbook *b, int64_t request)
{
  for (int i = 0; i < b->nwaiters; i++)
    if (b->waiters[i].request == request)
      return &b->waiters[i];
  return NULL;
}

/* ---- for people ---- */

static const char *nth(int n)
{
  return n % 100 / 10 == 1 ? "th" : n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

static void say_holders(const struct lockbook *b, int lock, int64_t worker, struct buf *text)
{
  int n = 0;

  for (int i = 0; i < b->nholds; i++) {
    const struct lock_hold *h = &b->holds[i];
    if (h->lock != lock || (b->locks[lock].per_worker && h->worker != worker))
      continue;
    if (n == SAY_HOLDERS_MAX)
      buf_adds(text, ", …");
    if (n++ >= SAY_HOLDERS_MAX)
      continue;
    buf_addf(text, "%s%.100s (", n == 1 ? "; held by " : ", ", h->who);
    buf_addf(text, h->n ? "%d" : "exclusive", h->n);
    buf_addf(text, "%s)", h->ghost ? ", cancelled, and its worker is away" : "");
  }
}

void lockbook_say(const struct lockbook *b, const struct lock_waiter *w, struct buf *text)
{
  const struct lock_want *want = &w->wants[w->at];
  int64_t worker = w->nworkers ? w->workers[0] : 0;
  const struct lock_row *l = want->lock >= 0 ? &b->locks[want->lock] : NULL;

  buf_addf(text, "waits for lock %.64s: ", want->name);
  if (!l || l->gone) {
    buf_adds(text, "the site's configuration has no such lock any more");
    return;
  }
  buf_addf(text, "%d of %d%s free%s, needs ", lockbook_free(b, want->lock, worker), l->count, l->nunits ? " units" : "", l->per_worker ? " on its worker" : "");
  buf_addf(text, want->n ? "%d" : "it for itself", want->n);
  if (want->n > l->count)
    buf_adds(text, ", which is more than there are");
  say_holders(b, want->lock, worker, text);
  if (w->place)
    buf_addf(text, "; %d%s in line", w->place, nth(w->place));
}

void lockbook_units(const struct lockbook *b, const struct lock_waiter *w, int i, struct buf *text)
{
  for (int k = 0; k < w->ngot[i]; k++)
    buf_addf(text, "%s%s", k ? " " : "", b->locks[w->wants[i].lock].units[w->got[i][k]]);
}

void lockbook_clear(struct lockbook *b)
{
  for (int i = 0; i < b->nlocks; i++) {
    free(b->locks[i].name);
    mem_free_all(b->locks[i].units, b->locks[i].nunits);
  }
  for (int i = 0; i < b->nholds; i++) {
    free(b->holds[i].who);
    mem_free_all(b->holds[i].units, b->holds[i].nunits);
  }
  for (int i = 0; i < b->nwaiters; i++) {
    for (int k = 0; k < b->waiters[i].nwants; k++) {
      free(b->waiters[i].wants[k].name);
      free(b->waiters[i].got[k]);
    }
    free(b->waiters[i].workers);
    free(b->waiters[i].who);
  }
  free(b->locks);
  free(b->holds);
  free(b->waiters);
  *b = (struct lockbook){ 0 };
}
