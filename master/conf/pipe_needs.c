/* `needs` of builders: which others must be built before. Read with each builder, whose expressions may name it; joined to builders once all of them are known. */
#include "master/conf/pipe_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"

/* ---- what a builder says ---- */

static void say(struct maker *m, struct pipe_builder *b, const struct yml_node *n, bool soft, const struct expr_name *names)
{
  char *name;

  if (n->kind != YML_SCALAR || yml_is_null(n) || !n->text[0]) {
    char *got = schema_shown(n);
    yml_error(m->d, n, "needs: [linux, {docs: soft}]", "\"needs\" wants builders, got %s", got);
    free(got);
    return;
  }
  name = pipe_made_text(m, n, SCHEMA_BUILDER, "needs", names);
  if (name && (pipe_has_expr(n) || schema_check_made(n, name, SCHEMA_BUILDER, "needs", m->d)))
    b->needs[b->nneeds++] = (struct pipe_need){ .name = name, .soft = soft, .at = n };
}

/* {docs: soft} */
static void say_map(struct maker *m, struct pipe_builder *b, const struct yml_node *map, const struct expr_name *names)
{
  for (int i = 0; i < map->n; i++) {
    const struct yml_node *how = map->items[i];
    bool soft = how->kind == YML_SCALAR && !strcmp(how->text, "soft"), hard = how->kind == YML_SCALAR && !strcmp(how->text, "good");
    char *got = schema_shown(how);
    if (soft || hard)
      say(m, b, map->keys[i], soft, names);
    else
      yml_error(m->d, how, "good: it must end well (which is so without a word, too); soft: it must end", "\"%.96s\" wants \"good\" or \"soft\", got %s", map->keys[i]->text, got);
    free(got);
  }
}

void pipe_read_needs(struct maker *m, struct pipe_builder *b, const struct yml_node *n, const struct expr_name *names)
{
  int max = 0;

  if (!n)
    return;
  if (n->kind == YML_LIST)
    for (int i = 0; i < n->n; i++)
      max += n->items[i]->kind == YML_MAP ? n->items[i]->n : 1;
  else
    max = n->kind == YML_MAP ? n->n : 1;
  b->needs = pipe_take(m->w, (size_t)max + 1, sizeof *b->needs);
  if (n->kind == YML_MAP)
    say_map(m, b, n, names);
  else if (n->kind == YML_SCALAR && !yml_is_null(n))
    say(m, b, n, false, names);
  for (int i = 0; n->kind == YML_LIST && i < n->n; i++) {
    if (n->items[i]->kind == YML_MAP)
      say_map(m, b, n->items[i], names);
    else
      say(m, b, n->items[i], false, names);
  }
}

/* ---- which builders these are ---- */

static int named(struct maker *m, const struct pipe_need *said, const struct pipe_builder **first)
{
  const struct pipe_builder *end = m->w->p.builders + m->w->p.nbuilders, *it;

  *first = map_get(m->builders, said->name);
  if (!*first)
    return 0;
  if (!strcmp((*first)->name, said->name))
    return 1;
  for (it = *first; it < end && it->base == (*first)->base;) /* all combinations: they stand behind each other */
    it++;
  return (int)(it - *first);
}

/* PROJECT/BUILDER: whether there is one is known when it is asked for. */
static void join_outside(struct maker *m, struct pipe_builder *b, const struct pipe_need *said, struct map *seen)
{
  const char *slash = strchr(said->name, '/');
  struct pipe_outside *o = &b->outside[b->noutside];

  *o = (struct pipe_outside){ .name = said->name, .builder = pipe_copy(m->w, slash + 1), .soft = said->soft, .at = said->at };
  o->project = pipe_copy(m->w, said->name);
  o->project[slash - said->name] = 0;
  if (str_eq(o->project, m->project)) {
    char *help = xasprintf("needs: %s", o->builder);
    yml_error(m->d, said->at, help, "\"%s\" is of this project: its name alone says that", said->name);
    free(help);
  } else if (map_set(seen, said->name, b)) {
    yml_error(m->d, said->at, NULL, "builder \"%s\" stands twice", said->name);
  } else {
    b->noutside++;
  }
}

/* What is reported comes behind who has reported it, also where it doesn't say so. */
static void join_reporter(struct maker *m, struct pipe_builder *b, struct map *seen)
{
  const struct pipe_builder *r = b->reporter ? map_get(m->builders, b->reporter) : NULL;

  if (r && !map_get(seen, r->name))
    b->needs[b->nneeds++] = (struct pipe_need){ .name = r->name, .builder = r, .at = b->at };
}

static void join(struct maker *m, struct pipe_builder *b)
{
  struct pipe_need *said = b->needs;
  struct map *seen = map_new();
  const struct pipe_builder *first;
  int all = b->nneeds, n = 0, outside = 0;

  for (int i = 0; i < all; i++)
    n += named(m, &said[i], &first), outside += strchr(said[i].name, '/') != NULL;
  n += outside;
  b->outside = pipe_take(m->w, (size_t)outside + 1, sizeof *b->outside);
  m->needs += n;
  if (m->needs > PIPELINE_NEEDS_MAX) {
    if (m->needs - n <= PIPELINE_NEEDS_MAX)
      yml_error(m->d, said[0].at, NULL, "more than %d needs, those of matrices counted", PIPELINE_NEEDS_MAX);
    all = 0;
  }
  b->needs = pipe_take(m->w, (size_t)n + 2, sizeof *b->needs);
  b->nneeds = 0;
  for (int i = 0; i < all; i++) {
    int some = named(m, &said[i], &first);
    if (strchr(said[i].name, '/')) {
      join_outside(m, b, &said[i], seen);
      continue;
    }
    if (!some && !m->incomplete)
      pipe_unknown_builder(m, said[i].at, said[i].name);
    for (int k = 0; k < some; k++) {
      if (&first[k] == b)
        yml_error(m->d, said[i].at, NULL, "builder \"%s\" needs itself", b->name);
      else if (map_set(seen, first[k].name, b))
        yml_error(m->d, said[i].at, NULL, "builder \"%s\" stands twice", first[k].name);
      else
        b->needs[b->nneeds++] = (struct pipe_need){ .name = first[k].name, .builder = &first[k], .soft = said[i].soft, .at = said[i].at };
    }
  }
  join_reporter(m, b, seen);
  map_free(seen);
}

/* ---- rings ---- */

enum mark { NEW, OPEN, OVER };

/* a needs b needs a */
static void tell_ring(struct maker *m, const int *path, int n, const struct pipe_need *last)
{
  enum { SHOWN_MAX = 8 };
  const struct pipe_builder *b = m->w->p.builders;
  struct buf text;
  int from = 0;

  while (&b[path[from]] != last->builder)
    from++;
  buf_init(&text, BUF_NO_MAX);
  for (int i = from; i < n; i++)
    if (i - from < SHOWN_MAX)
      buf_addf(&text, "\"%s\" needs ", b[path[i]].name);
  buf_addf(&text, "%s\"%s\"", n - from > SHOWN_MAX ? "… needs " : "", last->builder->name);
  yml_error(m->d, last->at, "something must come first", "builders wait for each other: %s", buf_str(&text));
  buf_free(&text);
}

/* Depth first, as deep as there are builders, to the first ring. */
static void walk(struct maker *m, enum mark *marks, int *path, int *next, int start)
{
  struct pipeline *p = &m->w->p;
  int n = 0;

  path[n++] = start;
  marks[start] = OPEN;
  next[start] = 0;
  while (n) {
    int at = path[n - 1];
    const struct pipe_need *need = next[at] < p->builders[at].nneeds ? &p->builders[at].needs[next[at]++] : NULL;
    int to = need ? (int)(need->builder - p->builders) : 0;
    if (!need) {
      marks[at] = OVER;
      n--;
    } else if (marks[to] == OPEN) {
      tell_ring(m, path, n, need);
      return;
    } else if (marks[to] == NEW) {
      marks[to] = OPEN;
      next[to] = 0;
      path[n++] = to;
    }
  }
}

void pipe_join_needs(struct maker *m)
{
  struct pipeline *p = &m->w->p;
  int *path = xcalloc((size_t)p->nbuilders + 1, sizeof *path), *next = xcalloc((size_t)p->nbuilders + 1, sizeof *next);
  enum mark *marks = xcalloc((size_t)p->nbuilders + 1, sizeof *marks);
  int before = diag_count(m->d);

  for (int i = 0; i < p->nbuilders; i++)
    if (p->builders[i].nneeds || p->builders[i].reporter)
      join(m, &p->builders[i]);
  for (int i = 0; i < p->nbuilders && diag_count(m->d) == before; i++)
    if (marks[i] == NEW)
      walk(m, marks, path, next, i);
  free(path);
  free(next);
  free(marks);
}
