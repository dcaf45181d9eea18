/* From a checked tree to builders with steps and schedulers: what each is made of, and references between them.

   Strings point into the tree, which the pipeline holds; arrays and made names are in blocks of its own. So text that a file uses a
   thousand times by alias, or an environment that every step inherits, is there once. */
#include "master/conf/pipe_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"

static void *take(struct block **list, size_t count, size_t size)
{
  struct block *b;

  assert(!size || count < SIZE_MAX / 2 / size);
  b = xcalloc(1, sizeof *b + count * size);
  b->next = *list;
  *list = b;
  return b + 1;
}

static void drop(struct block *list)
{
  for (struct block *next; list; list = next) {
    next = list->next;
    free(list);
  }
}

void *pipe_take(struct whole *w, size_t count, size_t size)
{
  return take(&w->blocks, count, size);
}

void *pipe_scratch(struct maker *m, size_t count, size_t size)
{
  return take(&m->scratch, count, size);
}

void pipe_drop_scratch(struct maker *m)
{
  drop(m->scratch);
  m->scratch = NULL;
}

void pipeline_free(struct pipeline *p)
{
  struct whole *w = (struct whole *)p;

  if (!w)
    return;
  drop(w->blocks);
  pipe_exprs_free(&w->exprs);
  yml_drop(w->doc);
  free(w);
}

const struct pipe_builder *pipeline_builder(const struct pipeline *p, const char *name)
{
  for (int i = 0; i < p->nbuilders; i++)
    if (!strcmp(p->builders[i].name, name))
      return &p->builders[i];
  return NULL;
}

char *pipe_copy(struct whole *w, const char *s)
{
  return strcpy(pipe_take(w, 1, strlen(s) + 1), s);
}

bool pipe_spend(struct maker *m, const struct yml_node *n)
{
  if (m->nodes > PIPELINE_NODES_MAX || m->bytes > PIPELINE_BYTES_MAX)
    return false; /* told before */
  m->nodes += n->size;
  m->bytes += n->bytes;
  if (m->nodes <= PIPELINE_NODES_MAX && m->bytes <= PIPELINE_BYTES_MAX)
    return true;
  yml_error(m->d, n, NULL, "more than %d values or %u MiB, with matrices and templates written out", PIPELINE_NODES_MAX, PIPELINE_BYTES_MAX >> 20);
  return false;
}

char *pipe_did_you_mean(const char *name, const char *const *v, int n)
{
  unsigned best = 3; /* as far is too far */
  const char *near = NULL;

  for (int i = 0; i < n; i++) {
    unsigned far = str_distance(name, v[i]);
    if (far < best) {
      best = far;
      near = v[i];
    }
  }
  return near ? xasprintf("did you mean \"%s\"?", near) : NULL;
}

bool pipe_is_word(const char *s)
{
  return *s && !(*s >= '0' && *s <= '9') && s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == 0;
}

bool pipe_is_number(const char *s, int64_t *v)
{
  bool minus = *s == '-';

  if (str_number(s + minus, strlen(s + minus), v) || (minus && !*v))
    return false;
  if (minus)
    *v = -*v;
  return true;
}

const struct pipe_builder *pipeline_named(const struct pipeline *p, const char *name, int *n)
{
  const struct pipe_builder *first = NULL;

  *n = 0;
  for (int i = 0; i < p->nbuilders; i++) {
    const struct pipe_builder *b = &p->builders[i];
    if (strcmp(b->name, name) && strcmp(b->base, name))
      continue;
    if (!first)
      first = b;
    ++*n;
  }
  return first;
}

bool pipe_strange_key(const struct yml_node *map, enum schema_group group)
{
  for (int i = 0; map->kind == YML_MAP && i < map->n; i++)
    if (!schema_has(group, map->keys[i]->text))
      return true;
  return false;
}

char **pipe_strings(struct whole *w, const struct yml_node *n, int *count)
{
  char **v;

  *count = 0;
  if (!n)
    return NULL;
  v = pipe_take(w, (size_t)(n->kind == YML_LIST ? n->n : 1) + 1, sizeof *v);
  if (n->kind == YML_SCALAR)
    v[(*count)++] = n->text;
  for (int i = 0; n->kind == YML_LIST && i < n->n; i++)
    if (n->items[i]->kind == YML_SCALAR)
      v[(*count)++] = n->items[i]->text;
  return v;
}

/* --- builders --- */

static struct pipe_builder *add_builder(struct maker *m, const struct yml_node *at)
{
  if (m->nmade == PIPELINE_BUILDERS_MAX) {
    if (!m->full)
      yml_error(m->d, at, NULL, "more than %d builders, those of matrices counted", PIPELINE_BUILDERS_MAX);
    m->full = m->incomplete = true;
    return NULL;
  }
  if (m->nmade == m->cap) {
    m->cap = m->cap ? m->cap * 2 : 16;
    m->made = xrealloc(m->made, (size_t)m->cap * sizeof *m->made);
  }
  m->made[m->nmade] = (struct pipe_builder){ .at = at };
  return &m->made[m->nmade++];
}

/* The axes are variables between those of `defaults` and the builder's own, which may be made of them. */
static void inherit_axes(struct maker *m, const struct pipe_builder *b, const struct yml_node *map, struct inherit *h)
{
  const struct yml_node *env = yml_get(map, "env");
  struct env_var v[PIPELINE_AXES_MAX];

  for (int i = 0; i < b->naxes; i++) {
    const struct yml_node *own = yml_get(env, b->axes[i].name);
    v[i] = (struct env_var){ b->axes[i].name, b->axes[i].value, NULL, { PIPE_OF_MATRIX, b->axes[i].at } };
    if (own && own->kind == YML_SCALAR && !pipe_has_expr(own))
      yml_error(m->d, yml_get_key(env, b->axes[i].name), "leave it out here, or make its value of ${{ matrix.… }}", "\"%s\" is an axis of the matrix, and this hides it",
                b->axes[i].name);
  }
  if (b->naxes)
    pipe_inherit_var(m, h, v, b->naxes, map);
}

/* map: the builder's, or NULL where there is only a list of steps. */
static void make_builder(struct maker *m, struct pipe_builder *b, const struct yml_node *map, const struct yml_node *list, struct inherit h, const struct expr_name *names)
{
  if (map) {
    inherit_axes(m, b, map, &h);
    pipe_inherit(m, &h, map, SCHEMA_BUILDER, PIPE_OF_BUILDER, names);
  }
  pipe_read_needs(m, b, yml_get(map, "needs"), names);
  pipe_make_want(m, b, &h);
  if (list && list->kind == YML_LIST)
    pipe_make_steps(m, b, map ? map : list, list, &h, names);
  if (map)
    pipe_take_locks(m, b, NULL, yml_get(map, "locks"));
  pipe_drop_scratch(m);
}

static void make_combinations(struct maker *m, const struct yml_node *key, const struct yml_node *map, const struct inherit *h)
{
  struct matrix *x = xcalloc(1, sizeof *x);
  bool good = pipe_matrix(m, yml_get(map, "matrix"), x);

  for (int i = 0; good && i < x->n; i++) {
    struct pipe_builder *b;
    good = pipe_spend(m, map) && (b = add_builder(m, key)) && pipe_combine(m, b, key, x, i);
    if (good) {
      b->at = map;
      make_builder(m, b, map, yml_get(map, "steps"), *h, pipe_matrix_names(m, x, i));
    }
  }
  m->incomplete |= !good;
  free(x);
}

static void make_named(struct maker *m, const struct yml_node *key, const struct yml_node *map, const struct inherit *h)
{
  struct pipe_builder *b;

  if (!strcmp(key->text, "all"))
    yml_error(m->d, key, NULL, "a builder can't be called \"all\", which means all of them");
  if (!yml_get(map, "steps") && !pipe_strange_key(map, SCHEMA_BUILDER))
    yml_error(m->d, key, NULL, "builder \"%s\" has no \"steps\"", key->text);
  if (yml_get(map, "matrix")) {
    make_combinations(m, key, map, h);
  } else if (pipe_spend(m, map) && (b = add_builder(m, key))) {
    b->name = b->base = key->text;
    b->at = map;
    make_builder(m, b, map, yml_get(map, "steps"), *h, pipe_names);
  }
}

static void make_builders(struct maker *m, const struct yml_node *top, enum schema_group group, const char *project)
{
  const struct yml_node *steps = yml_get(top, "steps"), *named = yml_get(top, "builders");
  struct inherit h = { .total_ms = schema_ms(NULL, SCHEMA_TIMEOUT, "total"), .idle_ms = schema_ms(NULL, SCHEMA_TIMEOUT, "idle") };

  pipe_inherit(m, &h, yml_get(top, "defaults"), SCHEMA_DEFAULTS, PIPE_OF_DEFAULTS, pipe_names);
  if (steps && named) {
    yml_error(m->d, yml_get_key(top, "steps"), "move them into a builder", "there are both \"steps\" and \"builders\"");
  } else if (steps) {
    struct pipe_builder *b = add_builder(m, steps);
    b->name = b->base = pipe_copy(m->w, project);
    make_builder(m, b, NULL, steps, h, pipe_names);
  } else if (named && named->kind == YML_MAP && named->n) {
    for (int i = 0; i < named->n; i++)
      make_named(m, named->keys[i], named->items[i], &h);
  } else if (!pipe_strange_key(top, group)) {
    yml_error(m->d, top, "the smallest pipeline is one line: steps: [make]", "there are no \"steps\" and no \"builders\"");
  }
}

/* --- the whole --- */

static struct pipeline *make(struct yml_doc *doc, const struct yml_node *top,
                             enum schema_group group, const char *project, int before,
                             struct diags *d)
{
  struct maker m = { .w = xcalloc(1, sizeof *m.w), .d = d, .builders = map_new(), .templates = map_new(), .project = project };
  struct pipeline *p = &m.w->p;

  m.w->doc = yml_hold(doc);
  pipe_read_templates(&m, yml_get(top, "templates"));
  make_builders(&m, top, group, project);
  pipe_check_unused(&m);
  p->nbuilders = m.nmade;
  p->builders = pipe_take(m.w, (size_t)m.nmade + 1, sizeof *p->builders);
  if (m.nmade)
    memcpy(p->builders, m.made, (size_t)m.nmade * sizeof *p->builders);
  free(m.made);
  m.all = pipe_take(m.w, (size_t)p->nbuilders + 1, sizeof *m.all);
  for (int i = 0; i < p->nbuilders; i++) {
    m.all[i] = p->builders[i].name;
    (void)map_set(m.builders, p->builders[i].name, &p->builders[i]);
    if (!map_get(m.builders, p->builders[i].base)) /* the first of all combinations */
      (void)map_set(m.builders, p->builders[i].base, &p->builders[i]);
  }
  pipe_join_needs(&m);
  pipe_make_schedulers(&m, yml_get(top, "schedulers"));
  pipe_join_triggers(&m);
  map_free(m.builders);
  map_free(m.templates);
  if (diag_count(d) == before)
    return p;
  pipeline_free(p);
  return NULL;
}

struct pipeline *pipeline_parse(const char *file, const char *text, size_t len, const char *project,
                                struct diags *d)
{
  int before = diag_count(d);
  struct yml_doc *doc = yml_parse(file, text, len, d);
  struct pipeline *p = NULL;

  if (!doc)
    return NULL;
  schema_check(doc, SCHEMA_PIPELINE, d);
  if (doc->root->kind == YML_MAP || yml_is_null(doc->root))
    p = make(doc, doc->root, SCHEMA_PIPELINE, project, before, d);
  yml_drop(doc);
  diag_sort(d);
  return p;
}

struct pipeline *pipeline_from(struct yml_doc *doc, const struct yml_node *map, const char *project,
                               struct diags *d)
{
  return make(doc, map, SCHEMA_PROJECT, project, diag_count(d), d);
}
