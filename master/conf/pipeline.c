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
  for (int i = 0; i < w->nlayers; i++)
    yml_drop(w->layers[i].doc);
  drop(w->blocks);
  pipe_exprs_free(&w->exprs);
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
  if (m->layer->reporter && m->nmade - m->below == PIPELINE_REPORTED_MAX) {
    if (!m->full)
      yml_error(m->d, at, NULL, "more than %d builders in one report, those of matrices counted", PIPELINE_REPORTED_MAX);
    m->full = m->incomplete = true;
    return NULL;
  }
  if (m->nmade == m->cap) {
    m->cap = m->cap ? m->cap * 2 : 16;
    m->made = xrealloc(m->made, (size_t)m->cap * sizeof *m->made);
  }
  m->made[m->nmade] = (struct pipe_builder){ .at = at, .reporter = m->layer->reporter };
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

/* What is reported has names of its own. */
static void check_new(struct maker *m, const struct yml_node *key)
{
  for (int i = 0; i < m->below; i++)
    if (!strcmp(m->made[i].base, key->text)) {
      const char *by = m->made[i].reporter;
      yml_error(m->d, key, "a builder that is reported wants a name of its own", "there is a builder \"%.96s\" already, %s%s%s", key->text, by ? "reported by \"" : "the pipeline's", by ? by : "", by ? "\"" : "");
      return;
    }
}

static void make_named(struct maker *m, const struct yml_node *key, const struct yml_node *map, const struct inherit *h)
{
  struct pipe_builder *b;

  check_new(m, key);

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

/* Of one layer; h: the pipeline's defaults. */
static void make_builders(struct maker *m, enum schema_group group, const struct inherit *h)
{
  const struct yml_node *top = m->layer->top, *steps = yml_get(top, "steps"), *named = yml_get(top, "builders");

  if (steps && named) {
    yml_error(m->d, yml_get_key(top, "steps"), "move them into a builder", "there are both \"steps\" and \"builders\"");
  } else if (steps) {
    struct pipe_builder *b = add_builder(m, steps);
    b->name = b->base = pipe_copy(m->w, m->project);
    make_builder(m, b, NULL, steps, *h, pipe_names);
  } else if (named && named->kind == YML_MAP && named->n) {
    for (int i = 0; i < named->n; i++)
      make_named(m, named->keys[i], named->items[i], h);
  } else if (m->layer->reporter && !pipe_strange_key(top, group)) {
    yml_error(m->d, top, "builders: {NAME: {steps: […]}}; where there is nothing to build leave the file out", "the report has no \"builders\"");
  } else if (!pipe_strange_key(top, group)) {
    yml_error(m->d, top, "the smallest pipeline is one line: steps: [make]", "there are no \"steps\" and no \"builders\"");
  }
}

/* --- the whole --- */

/* Takes the layers over: their documents are held by what comes of it, or dropped. */
static struct pipeline *make(const struct pipe_layer *layers, int n, enum schema_group group, const char *project, int before, struct diags *d)
{
  struct maker m = { .w = xcalloc(1, sizeof *m.w), .d = d, .builders = map_new(), .templates = map_new() };
  struct inherit h = { .total_ms = schema_ms(NULL, SCHEMA_TIMEOUT, "total"), .idle_ms = schema_ms(NULL, SCHEMA_TIMEOUT, "idle") };
  struct pipeline *p = &m.w->p;

  m.w->group = group;
  m.project = m.w->project = pipe_copy(m.w, project);
  m.w->layers = pipe_take(m.w, (size_t)n, sizeof *m.w->layers);
  for (m.w->nlayers = 0; m.w->nlayers < n; m.w->nlayers++) {
    m.w->layers[m.w->nlayers] = layers[m.w->nlayers];
    if (layers[m.w->nlayers].reporter)
      m.w->layers[m.w->nlayers].reporter = pipe_copy(m.w, layers[m.w->nlayers].reporter);
  }
  pipe_read_templates(&m, yml_get(layers[0].top, "templates"));
  pipe_inherit(&m, &h, yml_get(layers[0].top, "defaults"), SCHEMA_DEFAULTS, PIPE_OF_DEFAULTS, pipe_names);
  for (int i = 0; i < n; i++) {
    m.layer = &m.w->layers[i];
    m.below = m.nmade;
    make_builders(&m, i ? SCHEMA_NODES : group, &h);
    p->nown = i ? p->nown : m.nmade;
  }
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
  pipe_make_schedulers(&m, yml_get(layers[0].top, "schedulers"));
  pipe_join_triggers(&m);
  map_free(m.builders);
  map_free(m.templates);
  if (diag_count(d) == before)
    return p;
  pipeline_free(p);
  return NULL;
}

/* Behind the others, where it is a map; else told. */
static bool read_layer(struct pipe_layer *layers, int *n, const char *text, size_t len, const char *reporter, struct diags *d)
{
  struct yml_doc *doc = yml_parse(reporter ? PIPELINE_NODES_FILE : PIPELINE_FILE, text, len, d);

  if (!doc)
    return false;
  schema_check(doc, reporter ? SCHEMA_NODES : SCHEMA_PIPELINE, d);
  if (doc->root->kind == YML_MAP || yml_is_null(doc->root)) {
    layers[(*n)++] = (struct pipe_layer){ doc, doc->root, reporter };
    return true;
  }
  yml_drop(doc);
  return false;
}

static void drop_layers(struct pipe_layer *layers, int n)
{
  for (int i = 0; i < n; i++)
    yml_drop(layers[i].doc);
}

struct pipeline *pipeline_stack(const struct pipe_text *v, int n, const char *project, struct diags *d)
{
  struct pipe_layer *layers = xcalloc((size_t)n, sizeof *layers);
  int before = diag_count(d), read = 0;
  struct pipeline *p = NULL;
  bool good = true;

  for (int i = 0; i < n && good; i++)
    good = read_layer(layers, &read, v[i].text, v[i].len, v[i].reporter, d);
  if (good)
    p = make(layers, n, SCHEMA_PIPELINE, project, before, d);
  else
    drop_layers(layers, read);
  free(layers);
  diag_sort(d);
  return p;
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
    p = make(&(struct pipe_layer){ yml_hold(doc), doc->root, NULL }, 1, SCHEMA_PIPELINE, project, before, d);
  yml_drop(doc);
  diag_sort(d);
  return p;
}

struct pipeline *pipeline_from(struct yml_doc *doc, const struct yml_node *map, const char *project,
                               struct diags *d)
{
  return make(&(struct pipe_layer){ yml_hold(doc), map, NULL }, 1, SCHEMA_PROJECT, project, diag_count(d), d);
}

struct pipeline *pipeline_extend(const struct pipeline *base, const char *text, size_t len, const char *reporter, struct diags *d)
{
  const struct whole *w = (const struct whole *)base;
  struct pipe_layer *layers = xcalloc((size_t)w->nlayers + 1, sizeof *layers);
  int before = diag_count(d), n = w->nlayers;
  struct pipeline *p = NULL;
  size_t all = len;

  for (int i = 0; i < n; i++) {
    layers[i] = w->layers[i];
    layers[i].doc = yml_hold(w->layers[i].doc);
    all += strlen(layers[i].doc->text);
  }
  if (all > PIPELINE_TEXT_MAX)
    diag_add(d, PIPELINE_NODES_FILE, NULL, 0, 0, NULL, "the pipeline and all that was reported on top of it are longer than %u KiB", PIPELINE_TEXT_MAX >> 10);
  if (all <= PIPELINE_TEXT_MAX && read_layer(layers, &n, text, len, reporter, d))
    p = make(layers, n, w->group, w->project, before, d);
  else
    drop_layers(layers, n);
  free(layers);
  diag_sort(d);
  return p;
}
