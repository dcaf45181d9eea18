#include "master/schedulers/graph.h"

#include <stdlib.h>

struct walk {
  const struct pipeline *p;
  struct graph_node *out;
  int n;
  int *next;  /* of each builder: the need to look at next, from 1; 0: not seen */
  int *path;
};

/* The pipeline has no rings (conf/pipe_needs.c), so each is behind its needs when it is done. */
static void walk(struct walk *w, const struct pipe_builder *from)
{
  const struct pipe_builder *b = w->p->builders;
  int depth = 0;

  if (w->next[from - b])
    return;
  w->next[from - b] = 1;
  w->path[depth++] = (int)(from - b);
  while (depth) {
    int at = w->path[depth - 1], i = w->next[at]++ - 1;
    if (i == b[at].nneeds) {
      w->out[w->n++] = (struct graph_node){ &b[at], false };
      depth--;
      continue;
    }
    int to = (int)(b[at].needs[i].builder - b);
    if (!w->next[to]) {
      w->next[to] = 1;
      w->path[depth++] = to;
    }
  }
}

int graph_closure(const struct pipeline *p, char *const *names, int n, struct graph_node **out)
{
  size_t all = (size_t)p->nbuilders + 1;
  struct walk w = { p, xcalloc(all, sizeof *w.out), 0, xcalloc(all, sizeof *w.next), xcalloc(all, sizeof *w.path) };
  bool *asked = xcalloc(all, sizeof *asked);

  for (int i = 0; i < n; i++) {
    const struct pipe_builder *b = pipeline_builder(p, names[i]);
    if (!b)
      continue;
    asked[b - p->builders] = true;
    walk(&w, b);
  }
  for (int i = 0; i < w.n; i++)
    w.out[i].asked = asked[w.out[i].builder - p->builders];
  free(asked);
  free(w.next);
  free(w.path);
  *out = w.out;
  return w.n;
}
