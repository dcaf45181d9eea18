/* Schedulers of a pipeline: what sets them off, and which builders they ask for. */
#include "master/conf/pipe_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"

static void unknown_builder(struct maker *m, const struct yml_node *n)
{
  const struct pipeline *p = &m->w->p;
  unsigned best = 3; /* as far is too far */
  char *help = NULL;

  for (int i = 0; i < p->nbuilders; i++) {
    unsigned far = str_distance(n->text, p->builders[i].name);
    if (far < best) {
      best = far;
      free(help);
      help = xasprintf("did you mean \"%s\"?", p->builders[i].name);
    }
  }
  yml_error(m->d, n, help, "there is no builder \"%s\"", n->text);
  free(help);
}

static void add_builder(struct maker *m, struct pipe_scheduler *s, const struct yml_node *n,
                        struct map *seen)
{
  const struct pipe_builder *b = n->kind == YML_SCALAR ? map_get(m->builders, n->text) : NULL;

  if (b && map_set(seen, n->text, s))
    yml_error(m->d, n, NULL, "builder \"%s\" stands twice", n->text);
  else if (b)
    s->builders[s->nbuilders++] = b->name;
  else if (n->kind == YML_SCALAR && diag_count(m->d) < DIAG_MAX)
    unknown_builder(m, n);
}

static void want_builders(struct maker *m, struct pipe_scheduler *s, const struct yml_node *n)
{
  struct map *seen;

  if (!n || (n->kind == YML_SCALAR && !strcmp(n->text, "all"))) {
    s->builders = m->all;
    s->nbuilders = m->w->p.nbuilders;
    return;
  }
  seen = map_new();
  s->builders = pipe_take(m->w, n->kind == YML_LIST ? (size_t)n->n : 1, sizeof *s->builders);
  if (n->kind == YML_LIST && !n->n)
    yml_error(m->d, n, NULL, "the scheduler has no builder");
  for (int i = 0; n->kind == YML_LIST && i < n->n; i++)
    add_builder(m, s, n->items[i], seen);
  if (n->kind == YML_SCALAR)
    add_builder(m, s, n, seen);
  map_free(seen);
}

/* The key that says what sets it off; told where there is none, or a second one. */
static const struct yml_node *trigger(struct maker *m, struct pipe_scheduler *s, const struct yml_node *key, const struct yml_node *n)
{
  static const struct {
    const char *key;
    enum pipe_trigger trigger;
  } all[] = {
    { "change", PIPE_ON_CHANGE },
  };
  const struct yml_node *found = NULL;

  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const struct yml_node *it = yml_get(n, all[i].key);
    if (it && found)
      yml_error(m->d, yml_get_key(n, all[i].key), "make a second scheduler of it", "a scheduler has only one thing that sets it off");
    if (!it || found)
      continue;
    found = it;
    s->trigger = all[i].trigger;
  }
  if (!found && n->kind == YML_MAP && !pipe_strange_key(n, SCHEMA_SCHEDULER))
    yml_error(m->d, key, "for each new revision: change: {}", "nothing sets scheduler \"%s\" off", key->text);
  return found;
}

void pipe_make_schedulers(struct maker *m, const struct yml_node *named)
{
  struct pipeline *p = &m->w->p;
  bool given = named && named->kind == YML_MAP && named->n;

  if (given && named->n > PIPELINE_SCHEDULERS_MAX) {
    yml_error(m->d, named, NULL, "more than %d schedulers", PIPELINE_SCHEDULERS_MAX);
    return;
  }
  p->nschedulers = given ? named->n : 1;
  p->schedulers = pipe_take(m->w, (size_t)p->nschedulers, sizeof *p->schedulers);
  if (!given) {
    p->schedulers[0] =
        (struct pipe_scheduler){ .name = strcpy(pipe_take(m->w, 1, sizeof "commits"), "commits") };
    want_builders(m, p->schedulers, NULL);
  }
  for (int i = 0; given && i < named->n; i++) {
    struct pipe_scheduler *s = &p->schedulers[i];
    const struct yml_node *n = named->items[i];
    s->name = named->keys[i]->text;
    s->branches = pipe_strings(m->w, yml_get(trigger(m, s, named->keys[i], n), "branches"), &s->nbranches);
    s->stable_ms = schema_ms(n, SCHEMA_SCHEDULER, "stable");
    want_builders(m, s, yml_get(n, "builders"));
  }
}
