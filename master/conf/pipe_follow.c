/* `from: changed` of schedulers: a change sets off the builders that check its codebase out, and what follows from these along `needs`, as far as one of `until`. */
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "master/conf/pipe_int.h"

struct follow {
  const struct pipeline *p;
  const char *const *changed; /* NULL: any */
  int nchanged;
  const char *main;           /* NULL: nobody knows what it is called */
  bool *follows;              /* of each builder that was looked at: it has changed, or something that it needs has */
  int *next, *path;           /* next: of each builder the need to look at next, from 1; 0: not looked at */
};

/* "" of a builder is the main codebase, of which the builder needs no name. */
static bool is_set_off(const struct follow *f, const struct pipe_builder *b)
{
  for (int i = 0; i < b->ncodebases; i++) {
    const char *name = *b->codebases[i] ? b->codebases[i] : f->main;
    if (!f->changed || !name)
      return true;
    for (int k = 0; k < f->nchanged; k++)
      if (!strcmp(f->changed[k], name))
        return true;
  }
  return false;
}

/* All that it needs, over however many others, then itself: there are no rings (pipe_needs.c). */
static void walk(struct follow *f, int from)
{
  const struct pipe_builder *b = f->p->builders;
  int depth = 0;

  if (f->next[from])
    return;
  f->next[from] = 1;
  f->path[depth++] = from;
  while (depth) {
    int at = f->path[depth - 1], i = f->next[at]++ - 1, to;
    if (i == b[at].nneeds) {
      f->follows[at] = is_set_off(f, &b[at]);
      for (int k = 0; k < b[at].nneeds; k++)
        f->follows[at] |= f->follows[b[at].needs[k].builder - b];
      depth--;
      continue;
    }
    to = (int)(b[at].needs[i].builder - b);
    if (!f->next[to]) {
      f->next[to] = 1;
      f->path[depth++] = to;
    }
  }
}

int pipeline_follow(const struct pipeline *p, char *const *until, int nuntil, const char *const *changed, int nchanged, const char *main, char **names)
{
  size_t all = (size_t)p->nbuilders + 1;
  struct follow f = { p, changed, nchanged, main, xcalloc(all, sizeof *f.follows), xcalloc(all, sizeof *f.next), xcalloc(all, sizeof *f.path) };
  int n = 0;

  for (int i = 0; i < nuntil; i++)
    walk(&f, (int)(pipeline_builder(p, until[i]) - p->builders));
  for (int i = 0; i < p->nbuilders && !nuntil; i++)
    walk(&f, i);
  for (int i = 0; i < p->nbuilders; i++)
    if (f.follows[i])
      names[n++] = p->builders[i].name;
  free(f.follows);
  free(f.next);
  free(f.path);
  return n;
}

static void add_source(const char ***names, int *n, const char *name)
{
  for (int i = 0; i < *n; i++)
    if (!strcmp((*names)[i], name))
      return;
  *names = xrealloc(*names, (size_t)(*n + 1) * sizeof **names);
  (*names)[(*n)++] = name;
}

int pipeline_sources(const struct pipeline *p, const struct pipe_builder *b, const char ***names)
{
  bool *seen = xcalloc((size_t)p->nbuilders + 1, sizeof *seen);
  const struct pipe_builder **todo = xcalloc((size_t)p->nbuilders + 1, sizeof *todo);
  int n = 0, count = 0;

  *names = NULL;
  todo[n++] = b;
  seen[b - p->builders] = true;
  for (int i = 0; i < n; i++) {
    for (int k = 0; k < todo[i]->ncodebases; k++)
      add_source(names, &count, todo[i]->codebases[k]);
    for (int k = 0; k < todo[i]->nneeds; k++) {
      const struct pipe_builder *to = todo[i]->needs[k].builder;
      if (!seen[to - p->builders])
        todo[n++] = to;
      seen[to - p->builders] = true;
    }
  }
  free(seen);
  free(todo);
  return count;
}

/* ---- when the file is read ---- */

/* One name of `until`, which may mean all combinations of a matrix: s->until[from] on. */
static void check_reached(struct maker *m, const struct pipe_scheduler *s, const struct yml_node *n, int from)
{
  char **names = xcalloc((size_t)m->w->p.nbuilders + 1, sizeof *names);

  if (s->nuntil > from && !pipeline_follow(&m->w->p, s->until + from, s->nuntil - from, s->ncodebases ? (const char *const *)s->codebases : NULL, s->ncodebases, NULL, names)) {
    if (s->ncodebases)
      yml_error(m->d, n, "what it needs must check out one of the scheduler's `codebases`", "no change leads to builder \"%.96s\"", n->text);
    else
      yml_error(m->d, n, "neither it nor what it needs checks anything out", "no change leads to builder \"%.96s\"", n->text);
  }
  free(names);
}

static void read_until(struct maker *m, struct pipe_scheduler *s, const struct yml_node *n)
{
  struct map *seen = map_new();

  s->until = pipe_take(m->w, (size_t)m->w->p.nbuilders + 1, sizeof *s->until);
  if (n->kind == YML_LIST && !n->n)
    yml_error(m->d, n, "without the key it goes as far as anything follows", "\"until\" has no builder");
  for (int i = 0; i < (n->kind == YML_LIST ? n->n : 1); i++) {
    const struct yml_node *it = n->kind == YML_LIST ? n->items[i] : n;
    int from = s->nuntil;
    pipe_add_builders(m, s->until, &s->nuntil, it, seen);
    if (!m->incomplete)
      check_reached(m, s, it, from);
  }
  map_free(seen);
}

void pipe_want_changed(struct maker *m, struct pipe_scheduler *s, const struct yml_node *n)
{
  const struct yml_node *from = yml_get(n, "from"), *until = yml_get(n, "until");
  struct pipeline *p = &m->w->p;

  if (until && !from)
    yml_error(m->d, yml_get_key(n, "until"), "from: changed", "\"until\" says how far a change goes, and stands beside \"from\"");
  if (!from)
    return;
  if (yml_get(n, "builders"))
    yml_error(m->d, yml_get_key(n, "builders"), "`until` says how far it goes", "\"builders\" can't stand beside \"from\", which finds them by what has changed");
  s->from_changed = true;
  s->from_at = from;
  s->in = p;
  if (until)
    read_until(m, s, until);
  s->builders = pipe_take(m->w, (size_t)p->nbuilders + 1, sizeof *s->builders);
  s->nbuilders = pipeline_follow(p, s->until, s->nuntil, s->ncodebases ? (const char *const *)s->codebases : NULL, s->ncodebases, NULL, s->builders);
  if (!s->nbuilders && !until && !m->incomplete)
    yml_error(m->d, from, NULL, "no builder checks anything out%s, so nothing follows from a change", s->ncodebases ? " of these codebases" : "");
}
