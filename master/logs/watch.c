/* Who follows a log. Told from the loop: the writer may be in the middle of something when it says that there is more. */
#include "master/logs/watch.h"

#include <stdlib.h>
#include <uv.h>

#include "common/map.h"
#include "master/core/master.h"
#include "master/dispatch/run.h"

struct watched { /* a build that somebody follows */
  struct list watches;
  int64_t build;
  bool told;
};

struct watches {
  struct master *m;
  struct map *by_build;
  struct list changed; /* of struct note */
  uv_idle_t turn;
};

struct note {
  struct list node;
  int64_t build;
};

static void deliver(uv_idle_t *h)
{
  struct watches *w = h->data;

  uv_idle_stop(h);
  while (!list_empty(&w->changed)) {
    struct note *n = list_of(w->changed.next, struct note, node);
    int64_t build = n->build;
    struct watched *b = map_get_n(w->by_build, (uint64_t)build);
    list_remove(&n->node);
    free(n);
    if (!b)
      continue;
    b->told = false;
    list_each(it, &b->watches) {
      struct log_watch *lw = list_of(it, struct log_watch, node);
      lw->changed(lw->arg);
      if (!map_get_n(w->by_build, (uint64_t)build))
        break; /* the last one left */
    }
  }
}

struct watches *watches_new(struct master *m)
{
  struct watches *w = xcalloc(1, sizeof *w);

  w->m = m;
  w->by_build = map_new();
  list_init(&w->changed);
  uv_idle_init(m->loop, &w->turn);
  w->turn.data = w;
  return w;
}

static void closed(uv_handle_t *h)
{
  struct watches *w = h->data;

  list_each(it, &w->changed) {
    list_remove(it);
    free(list_of(it, struct note, node));
  }
  map_free(w->by_build);
  free(w);
}

void watches_free(struct watches *w)
{
  uv_close((uv_handle_t *)&w->turn, closed);
}

void watch_add(struct watches *w, struct log_watch *lw, int64_t build)
{
  struct watched *b = map_get_n(w->by_build, (uint64_t)build);

  lw->build = build;
  if (!b) {
    b = xcalloc(1, sizeof *b);
    list_init(&b->watches);
    b->build = build;
    map_set_n(w->by_build, (uint64_t)build, b);
    run_follow(w->m, build, true);
  }
  list_push(&b->watches, &lw->node);
}

void watch_remove(struct watches *w, struct log_watch *lw)
{
  struct watched *b = map_get_n(w->by_build, (uint64_t)lw->build);

  list_remove(&lw->node);
  if (!b || !list_empty(&b->watches))
    return;
  map_set_n(w->by_build, (uint64_t)b->build, NULL);
  free(b);
  run_follow(w->m, lw->build, false);
}

bool watch_any(const struct watches *w, int64_t build)
{
  return map_get_n(w->by_build, (uint64_t)build) != NULL;
}

void watch_tell_all(struct watches *w)
{
  struct watched *b;

  for (size_t at = 0; (b = map_next(w->by_build, &at));)
    watch_tell(w, b->build);
}

void watch_tell(struct watches *w, int64_t build)
{
  struct watched *b = map_get_n(w->by_build, (uint64_t)build);
  struct note *n;

  if (!b || b->told)
    return;
  b->told = true;
  n = xmalloc(sizeof *n);
  n->build = build;
  list_push(&w->changed, &n->node);
  uv_idle_start(&w->turn, deliver);
}
