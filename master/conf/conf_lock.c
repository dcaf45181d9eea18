/* The site's locks, and whether what pipelines take of them can be had: a pure function of both.

   A build that holds locks waits for others only where a step takes some, or waits for builds that it triggers. So whoever waits for whom can be told from the pipelines: an arrow from each lock of a
   builder to each lock of its steps, and to all that what it triggers takes, or what that needs. Where the arrows run in a ring, builds could wait for each other for ever; that is refused, since nobody could help it later without ending one of them. */
#include "master/conf/conf_lock.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/pipe_int.h"
#include "master/conf/schema.h"

void conf_lock_make(struct conf_lock *l, const struct yml_node *key, const struct yml_node *map, struct diags *d)
{
  const struct yml_node *units = yml_get(map, "units");
  int n = units && units->kind == YML_LIST ? units->n : 1;

  *l = (struct conf_lock){ .name = xstrdup(key->text), .count = (int)schema_int(map, SCHEMA_LOCK, "count"), .per_worker = str_eq(schema_text(map, SCHEMA_LOCK, "per"), "worker") };
  conf_keys_of(&l->keys, map, SCHEMA_LOCK);
  if (!units || yml_is_null(units))
    return;
  if (yml_get(map, "count"))
    yml_error(d, yml_get_key(map, "count"), "their names say how many there are", "\"count\" beside \"units\"");
  if (n > CONF_LOCK_UNITS_MAX || !n) {
    yml_error(d, units, NULL, "a lock has 1 to %d units", CONF_LOCK_UNITS_MAX);
    return;
  }
  l->units = xcalloc((size_t)n, sizeof *l->units);
  l->count = 0;
  for (int i = 0; i < n; i++) {
    const struct yml_node *it = units->kind == YML_LIST ? units->items[i] : units;
    bool twice = false;
    if (it->kind != YML_SCALAR)
      continue;
    for (int k = 0; k < l->count && !twice; k++)
      twice = !strcmp(l->units[k], it->text);
    if (twice)
      yml_error(d, it, NULL, "the unit \"%.80s\" stands twice", it->text);
    else
      l->units[l->count++] = xstrdup(it->text);
  }
}

void conf_lock_free(struct conf_lock *l)
{
  for (int i = 0; l->units && i < l->count; i++)
    free(l->units[i]);
  free(l->units);
  free(l->name);
  conf_keys_free(&l->keys);
}

const struct conf_lock *conf_lock(const struct conf *c, const char *name)
{
  for (int i = 0; i < c->nlocks; i++)
    if (!strcmp(c->locks[i].name, name))
      return &c->locks[i];
  return NULL;
}

/* ---- each by itself ---- */

static void tell_unknown(const struct conf *c, const struct pipe_lock *l, struct diags *d)
{
  const char **names = xcalloc((size_t)c->nlocks + 1, sizeof *names);
  char *help;

  for (int i = 0; i < c->nlocks; i++)
    names[i] = c->locks[i].name;
  help = pipe_did_you_mean(l->name, names, c->nlocks);
  yml_error(d, l->at, help, "there is no lock \"%s\" in the site's configuration", l->name);
  free(help);
  free(names);
}

static void check_each(const struct conf *c, const struct pipe_lock *v, int n, struct diags *d)
{
  for (int i = 0; i < n; i++) {
    const struct conf_lock *l = conf_lock(c, v[i].name);
    if (!l)
      tell_unknown(c, &v[i], d);
    else if (v[i].take > l->count)
      yml_error(d, v[i].at, NULL, "it takes %d of the lock \"%s\", and there %s only %d%s", v[i].take, l->name, l->count == 1 ? "is" : "are", l->count, l->per_worker ? " on a worker" : "");
    else if (v[i].as && !l->units)
      yml_error(d, v[i].at, "units: [NAME, …] in the site's configuration gives them some", "what there is of the lock \"%s\" has no names, so `as` has nothing to tell", l->name);
  }
}

/* ---- rings ---- */

struct arrow {
  const struct pipe_lock *from, *to;
  const struct yml_node *trigger; /* what it waits for are builds that it triggers; or NULL */
  char *builder;        /* PROJECT/BUILDER, as it stands in the file */
};
enum { ARROWS_MAX = 20000 }; /* of all pipelines that are looked at together */
struct arrows {
  struct arrow *v;
  int n, cap;
};

static void add_arrow(struct arrows *a, const struct pipe_lock *from, const struct pipe_lock *to, const struct yml_node *trigger, const char *project, const char *builder)
{
  if (a->n == ARROWS_MAX)
    return;
  if (a->n == a->cap) {
    a->cap = a->cap ? a->cap * 2 : 16;
    a->v = xrealloc(a->v, (size_t)a->cap * sizeof *a->v);
  }
  a->v[a->n++] = (struct arrow){ from, to, trigger, xasprintf("%s/%s", project, builder) };
}

/* From the locks of b to those of v. */
static void add_to(struct arrows *a, const char *project, const struct pipe_builder *b, const struct pipe_lock *v, int n, const struct yml_node *trigger)
{
  for (int f = 0; f < b->nlocks; f++)
    for (int t = 0; t < n; t++)
      add_arrow(a, &b->locks[f], &v[t], trigger, project, b->base);
}

/* Marks what is built when these are asked for: what they need, and what they trigger and wait for. */
static void mark_asked(const struct pipeline *p, char *const *names, int n, bool *asked);

static void mark(const struct pipeline *p, const struct pipe_builder *b, bool *asked)
{
  if (asked[b - p->builders])
    return;
  asked[b - p->builders] = true;
  for (int i = 0; i < b->nneeds; i++)
    mark(p, b->needs[i].builder, asked);
  for (int s = 0; s < b->nsteps; s++)
    if (b->steps[s].asks && b->steps[s].asks->wait) {
      const struct pipe_asks *x = b->steps[s].asks;
      mark_asked(p, x->builders, x->nbuilders, asked);
      for (int i = 0; i < x->nschedulers; i++)
        mark_asked(p, x->schedulers[i]->builders, x->schedulers[i]->nbuilders, asked);
    }
}

static void mark_asked(const struct pipeline *p, char *const *names, int n, bool *asked)
{
  for (int i = 0; i < n; i++) {
    const struct pipe_builder *b = pipeline_builder(p, names[i]);
    if (b)
      mark(p, b, asked);
  }
}

static void add_triggered(struct arrows *a, const char *project, const struct pipeline *p, const struct pipe_builder *b, const struct pipe_asks *x)
{
  bool *asked = xcalloc((size_t)p->nbuilders + 1, sizeof *asked);

  mark_asked(p, x->builders, x->nbuilders, asked);
  for (int i = 0; i < x->nschedulers; i++)
    mark_asked(p, x->schedulers[i]->builders, x->schedulers[i]->nbuilders, asked);
  for (int i = 0; i < p->nbuilders; i++) {
    const struct pipe_builder *t = &p->builders[i];
    if (!asked[i])
      continue;
    add_to(a, project, b, t->locks, t->nlocks, x->at);
    for (int s = 0; s < t->nsteps; s++)
      add_to(a, project, b, t->steps[s].locks, t->steps[s].nlocks, x->at);
  }
  free(asked);
}

static void add_arrows(struct arrows *a, const char *project, const struct pipeline *p)
{
  for (int i = 0; i < p->nbuilders; i++) {
    const struct pipe_builder *b = &p->builders[i];
    if (!b->nlocks || (i && !strcmp(b->base, b[-1].base)))
      continue; /* the other combinations of a matrix take the same */
    for (int s = 0; s < b->nsteps; s++) {
      add_to(a, project, b, b->steps[s].locks, b->steps[s].nlocks, NULL);
      if (b->steps[s].asks && b->steps[s].asks->wait)
        add_triggered(a, project, p, b, b->steps[s].asks);
    }
  }
}

static void free_arrows(struct arrows *a)
{
  for (int i = 0; i < a->n; i++)
    free(a->v[i].builder);
  free(a->v);
}

/* From the arrow `at` on, whether the lock `back` is reached; path: the arrows on the way, without `at`. Each arrow is walked once. */
static bool reaches(const struct arrows *a, int at, const char *back, bool *seen, int *path, int *n)
{
  if (!strcmp(a->v[at].to->name, back))
    return true;
  for (int i = 0; i < a->n; i++) {
    if (seen[i] || strcmp(a->v[i].from->name, a->v[at].to->name))
      continue;
    seen[i] = true;
    path[(*n)++] = i;
    if (reaches(a, i, back, seen, path, n))
      return true;
    --*n;
  }
  return false;
}

static void tell_ring(const struct arrows *a, int at, const int *path, int n, struct diags *d)
{
  const struct arrow *x = &a->v[at];
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  buf_addf(&text, "%s holds the lock \"%s\" while this step waits for %s\"%s\"", x->builder, x->from->name, x->trigger ? "builds that take " : "", x->to->name);
  for (int i = 0; i < n && i < 3; i++)
    buf_addf(&text, ", which %s holds while it waits for \"%s\"", a->v[path[i]].builder, a->v[path[i]].to->name);
  buf_adds(&text, ": builds of them could wait for each other for ever");
  yml_error(d, x->trigger ? x->trigger : x->to->at, x->trigger ? "take it in a step that doesn't wait for others" : "take all of them in the builders, or in the same order everywhere", "%s", buf_str(&text));
  buf_free(&text);
}

/* Told at the first arrow of those from `mine` on that closes a ring; one ring is enough for a first answer. */
static void check_rings(const struct arrows *a, int mine, struct diags *d)
{
  bool *seen = xcalloc((size_t)a->n + 1, sizeof *seen), found = false;
  int *path = xcalloc((size_t)a->n + 1, sizeof *path);

  for (int i = mine; i < a->n && !found; i++) {
    int n = 0;
    memset(seen, 0, (size_t)a->n * sizeof *seen);
    seen[i] = true;
    found = reaches(a, i, a->v[i].from->name, seen, path, &n);
    if (found)
      tell_ring(a, i, path, n, d);
  }
  free(seen);
  free(path);
}

/* ---- all of it ---- */

static void check_pipeline(const struct conf *c, const struct pipeline *p, struct diags *d)
{
  for (int i = 0; i < p->nbuilders; i++) {
    const struct pipe_builder *b = &p->builders[i];
    if (i && !strcmp(b->base, b[-1].base))
      continue; /* told once for a matrix */
    check_each(c, b->locks, b->nlocks, d);
    for (int s = 0; s < b->nsteps; s++)
      check_each(c, b->steps[s].locks, b->steps[s].nlocks, d);
  }
}

void conf_check_locks(const struct conf *c, const char *project, const struct pipeline *p, struct diags *d)
{
  struct arrows a = { 0 };
  int mine;

  check_pipeline(c, p, d);
  for (int i = 0; i < c->nprojects; i++)
    if (c->projects[i].pipeline && strcmp(c->projects[i].name, project))
      add_arrows(&a, c->projects[i].name, c->projects[i].pipeline);
  mine = a.n;
  add_arrows(&a, project, p);
  check_rings(&a, mine, d);
  free_arrows(&a);
}

void conf_check_site_locks(const struct conf *c, struct diags *d)
{
  struct arrows a = { 0 };

  for (int i = 0; i < c->nprojects; i++)
    if (c->projects[i].pipeline) {
      check_pipeline(c, c->projects[i].pipeline, d);
      add_arrows(&a, c->projects[i].name, c->projects[i].pipeline);
    }
  check_rings(&a, 0, d);
  free_arrows(&a);
}
