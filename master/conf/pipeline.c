/* From a checked tree to builders with steps and schedulers: inheritance, names, implied checkouts, references between them.

   Strings point into the tree, which the pipeline holds; arrays and made names are in blocks of its own. So text that a file uses a
   thousand times by alias, or an environment that every step inherits, is there once. */
#include "master/conf/pipe_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"

enum {
  NAME_CUT = 40, /* of a name made from a script; leaves room for a number */
  MAX_NAME = 64,
};

/* What steps inherit. */
struct inherit {
  struct env_var *env;
  int nenv;
  const char *cwd;
  int64_t total_ms, idle_ms;
  char **tags;
  int ntags;
};

void *pipe_take(struct whole *w, size_t count, size_t size)
{
  struct block *b;

  assert(!size || count < SIZE_MAX / 2 / size);
  b = xcalloc(1, sizeof *b + count * size);
  b->next = w->blocks;
  w->blocks = b;
  return b + 1;
}

void pipeline_free(struct pipeline *p)
{
  struct whole *w = (struct whole *)p;

  if (!w)
    return;
  for (struct block *b = w->blocks, *next; b; b = next) {
    next = b->next;
    free(b);
  }
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

/* --- what is inherited --- */

static void inherit_env(struct maker *m, struct inherit *h, const struct yml_node *env)
{
  struct env_var *v;
  int n = h->nenv;
  size_t bytes = 0;

  if (!env || env->kind != YML_MAP || !env->n)
    return;
  if (env->n > PIPELINE_ENV_MAX) {
    yml_error(m->d, env, NULL, "more than %d variables", PIPELINE_ENV_MAX);
    return;
  }
  v = pipe_take(m->w, (size_t)(h->nenv + env->n), sizeof *v);
  if (n)
    memcpy(v, h->env, (size_t)n * sizeof *v);
  for (int i = 0; i < env->n; i++) {
    int at = 0;
    if (env->items[i]->kind != YML_SCALAR)
      continue;
    while (at < n && strcmp(v[at].name, env->keys[i]->text))
      at++;
    v[at] = (struct env_var){ env->keys[i]->text, env->items[i]->text, pipe_text(&m->w->exprs, env->items[i], m->d) };
    n += at == n;
  }
  for (int i = 0; i < n; i++)
    bytes += strlen(v[i].name) + strlen(v[i].value) + 2;
  if (n > PIPELINE_ENV_MAX || bytes > PIPELINE_ENV_BYTES_MAX) {
    yml_error(m->d, env, NULL, "more than %d variables or %u KiB, those inherited counted",
              PIPELINE_ENV_MAX, PIPELINE_ENV_BYTES_MAX >> 10);
    return;
  }
  h->env = v;
  h->nenv = n;
}

static void inherit(struct maker *m, struct inherit *h, const struct yml_node *map,
                    enum schema_group group)
{
  const struct yml_node *timeout = yml_get(map, "timeout"),
                        *tags = yml_get(yml_get(map, "worker"), "tags");

  inherit_env(m, h, yml_get(map, "env"));
  if (yml_get(map, "cwd"))
    h->cwd = schema_text(map, group, "cwd");
  if (timeout && timeout->kind == YML_SCALAR && !yml_is_null(timeout))
    h->total_ms = schema_ms(map, group, "timeout");
  if (yml_get(timeout, "total"))
    h->total_ms = schema_ms(timeout, SCHEMA_TIMEOUT, "total");
  if (yml_get(timeout, "idle"))
    h->idle_ms = schema_ms(timeout, SCHEMA_TIMEOUT, "idle");
  if (tags)
    h->tags = pipe_strings(m->w, tags, &h->ntags);
}

/* --- names of steps --- */

static bool name_char(char c)
{
  return str_is_name(&c, 1) || c == '.' || c == '_';
}

/* Runs of other characters become one hyphen. out has NAME_CUT + 1 bytes. */
static size_t add_words(char *out, size_t n, const char *s, size_t len)
{
  for (size_t i = 0; i < len && n < NAME_CUT; i++) {
    if (name_char(s[i]) && (n || str_is_name(s + i, 1)))
      out[n++] = s[i];
    else if (n && out[n - 1] != '-')
      out[n++] = '-';
  }
  return n;
}

/* From the first line that is neither empty nor a comment, or the arguments. */
static void base_name(const struct pipe_step *s, char out[NAME_CUT + 1])
{
  size_t n = 0;

  for (const char *p = s->script; p && *p && !n; p += *p == '\n') {
    size_t len = strcspn(p, "\n");
    const char *text = p + strspn(p, " \t");
    if (*text != '#')
      n = add_words(out, n, p, len);
    p += len;
  }
  for (int i = 0; s->argv && s->argv[i]; i++) {
    n = add_words(out, n, s->argv[i], strlen(s->argv[i]));
    n = add_words(out, n, " ", 1);
  }
  while (n && out[n - 1] == '-')
    n--;
  out[n] = 0;
  if (!n)
    strcpy(out, s->kind == PIPE_CHECKOUT ? "checkout" : "run");
}

/* used: names that are taken; counts: base → the last number tried, so that a thousand equal steps don't take a million looks. */
static char *unique_name(struct whole *w, const char *base, struct map *used, struct map *counts)
{
  char name[MAX_NAME + 1], *made;
  uintptr_t n = (uintptr_t)map_get(counts, base);

  do {
    n++;
    made = n == 1 ? xstrdup(base) : xasprintf("%s-%lu", base, (unsigned long)n);
    assert(strlen(made) <= MAX_NAME);
    strcpy(name, made);
    free(made);
  } while (map_get(used, name));
  (void)map_set(counts, base, (void *)n);
  (void)map_set(used, name, w);
  made = pipe_take(w, 1, strlen(name) + 1);
  return strcpy(made, name);
}

/* Given names first: a made one gives way. */
static void name_steps(struct maker *m, struct pipe_builder *b, const struct yml_node *list,
                       int implied)
{
  struct map *used = map_new(), *counts = map_new();

  for (int i = implied; i < b->nsteps; i++) {
    const struct yml_node *name = yml_get(list->items[i - implied], "name");
    if (!name || name->kind != YML_SCALAR)
      continue;
    if (map_set(used, name->text, b))
      yml_error(m->d, name, NULL, "two steps of builder \"%s\" have the name \"%s\"", b->name,
                name->text);
    b->steps[i].name = name->text;
  }
  for (int i = 0; i < b->nsteps; i++) {
    char base[NAME_CUT + 1];
    if (b->steps[i].name)
      continue;
    base_name(&b->steps[i], base);
    b->steps[i].name = unique_name(m->w, base, used, counts);
  }
  map_free(used);
  map_free(counts);
}

/* --- steps and builders --- */

static bool is_checkout(const struct yml_node *n)
{
  return n->kind == YML_MAP ? yml_get(n, "checkout") != NULL : !strcmp(n->text, "checkout");
}

/* argv has an item for each scalar of the list. */
static void set_args(struct maker *m, struct pipe_step *s, const struct yml_node *run, int n)
{
  int at = 0;

  for (int i = 0; i < run->n; i++) {
    const struct interp *t = pipe_text(&m->w->exprs, run->items[i], m->d);
    if (t && !s->args)
      s->args = pipe_take(m->w, (size_t)n, sizeof *s->args);
    if (t)
      s->args[at] = t;
    at += run->items[i]->kind == YML_SCALAR;
  }
}

static void set_run(struct maker *m, struct pipe_step *s, const struct yml_node *run)
{
  size_t bytes = 0;
  int n;

  if (run->kind == YML_SCALAR)
    s->script = run->text;
  if (run->kind != YML_LIST)
    return;
  s->argv = pipe_strings(m->w, run, &n);
  set_args(m, s, run, n);
  for (int i = 0; i < n; i++)
    bytes += strlen(s->argv[i]) + 1;
  if (n > PIPELINE_ARGV_MAX || bytes > PIPELINE_ARGV_BYTES_MAX)
    yml_error(m->d, run, NULL, "more than %d arguments or %u KiB", PIPELINE_ARGV_MAX,
              PIPELINE_ARGV_BYTES_MAX >> 10);
}

static void refuse_in_checkout(struct maker *m, const struct yml_node *n)
{
  static const char *const words[] = { "run", "cwd", "env" };

  for (size_t i = 0; i < COUNT(words); i++)
    if (yml_get(n, words[i]))
      yml_error(m->d, yml_get_key(n, words[i]),
                strcmp(words[i], "run") ? NULL : "make it a step of its own",
                "a checkout has no \"%s\"", words[i]);
}

static void make_step(struct maker *m, struct pipe_step *s, const struct yml_node *n,
                      struct inherit h)
{
  const struct yml_node *run = n->kind == YML_MAP ? yml_get(n, "run") : n;

  s->kind = is_checkout(n) ? PIPE_CHECKOUT : PIPE_RUN;
  s->line = n->line;
  if (s->kind == PIPE_CHECKOUT)
    refuse_in_checkout(m, n);
  else if (run)
    set_run(m, s, run);
  else if (!pipe_strange_key(n, SCHEMA_STEP))
    yml_error(m->d, n, NULL, "a step wants \"run\" or \"checkout\"");
  if (n->kind == YML_MAP)
    inherit(m, &h, n, SCHEMA_STEP);
  if (yml_get(n, "if") && yml_get(n, "if")->kind == YML_SCALAR) {
    s->cond = pipe_condition(&m->w->exprs, yml_get(n, "if"), m->d);
    s->cond_text = yml_get(n, "if")->text;
  }
  s->env = h.env;
  s->nenv = h.nenv;
  s->cwd = s->kind == PIPE_RUN ? (char *)h.cwd : NULL;
  s->total_ms = h.total_ms;
  s->idle_ms = h.idle_ms;
}

/* Where the checkout stands: -1: nowhere, the first step is implied. Tells when it stands twice or against `checkout: none`. */
static int find_checkout(struct maker *m, const struct yml_node *list, bool none)
{
  int found = -1;

  for (int i = 0; i < list->n; i++) {
    const struct yml_node *s = list->items[i];
    if (s->kind == YML_LIST || !is_checkout(s))
      continue;
    if (none)
      yml_error(m->d, s, NULL, "the builder says `checkout: none`, but this step is one");
    else if (found >= 0)
      yml_error(m->d, s, NULL, "a second checkout, the first is in line %d",
                list->items[found]->line);
    found = i;
  }
  return found;
}

/* map: the builder's, or NULL where there is only a list of steps. */
static void make_builder(struct maker *m, struct pipe_builder *b, char *name,
                         const struct yml_node *map, const struct yml_node *list, struct inherit h)
{
  bool none = map && !strcmp(schema_text(map, SCHEMA_BUILDER, "checkout"), "none"), implied;

  b->name = name;
  if (map)
    inherit(m, &h, map, SCHEMA_BUILDER);
  b->tags = h.tags;
  b->ntags = h.ntags;
  if (!list || list->kind != YML_LIST)
    return;
  implied = find_checkout(m, list, none) < 0 && !none;
  b->nsteps = list->n + implied;
  m->steps += b->nsteps;
  if (m->steps > PIPELINE_STEPS_MAX) {
    yml_error(m->d, list, NULL, "more than %d steps in all builders", PIPELINE_STEPS_MAX);
    b->nsteps = 0;
    return;
  }
  b->steps = pipe_take(m->w, (size_t)b->nsteps, sizeof *b->steps);
  if (implied)
    b->steps[0] = (struct pipe_step){ .kind = PIPE_CHECKOUT,
                                      .env = h.env,
                                      .nenv = h.nenv,
                                      .total_ms = h.total_ms,
                                      .idle_ms = h.idle_ms,
                                      .line = (map ? map : list)->line };
  for (int i = 0; i < list->n; i++)
    if (list->items[i]->kind != YML_LIST)
      make_step(m, &b->steps[i + implied], list->items[i], h);
  name_steps(m, b, list, implied);
}

static void make_builders(struct maker *m, const struct yml_node *top, enum schema_group group,
                          const char *project)
{
  struct pipeline *p = &m->w->p;
  const struct yml_node *steps = yml_get(top, "steps"), *named = yml_get(top, "builders");
  struct inherit h = { .total_ms = schema_ms(NULL, SCHEMA_TIMEOUT, "total"),
                       .idle_ms = schema_ms(NULL, SCHEMA_TIMEOUT, "idle") };

  inherit(m, &h, yml_get(top, "defaults"), SCHEMA_DEFAULTS);
  if (steps && named) {
    yml_error(m->d, yml_get_key(top, "steps"), "move them into a builder",
              "there are both \"steps\" and \"builders\"");
  } else if (steps) {
    char *name = strcpy(pipe_take(m->w, 1, strlen(project) + 1), project);
    p->builders = pipe_take(m->w, 1, sizeof *p->builders);
    p->nbuilders = 1;
    make_builder(m, p->builders, name, NULL, steps, h);
  } else if (named && named->kind == YML_MAP && named->n) {
    p->builders = pipe_take(m->w, (size_t)named->n, sizeof *p->builders);
    p->nbuilders = named->n;
    for (int i = 0; i < named->n; i++) {
      if (!strcmp(named->keys[i]->text, "all"))
        yml_error(m->d, named->keys[i], NULL,
                  "a builder can't be called \"all\", which means all of them");
      make_builder(m, &p->builders[i], named->keys[i]->text, named->items[i],
                   yml_get(named->items[i], "steps"), h);
      if (!yml_get(named->items[i], "steps") && !pipe_strange_key(named->items[i], SCHEMA_BUILDER))
        yml_error(m->d, named->keys[i], NULL, "builder \"%s\" has no \"steps\"",
                  named->keys[i]->text);
    }
  } else if (!pipe_strange_key(top, group)) {
    yml_error(m->d, top, "the smallest pipeline is one line: steps: [make]",
              "there are no \"steps\" and no \"builders\"");
  }
}

/* --- the whole --- */

static struct pipeline *make(struct yml_doc *doc, const struct yml_node *top,
                             enum schema_group group, const char *project, int before,
                             struct diags *d)
{
  struct maker m = { .w = xcalloc(1, sizeof *m.w), .d = d, .builders = map_new(), .project = project };
  struct pipeline *p = &m.w->p;

  m.w->doc = yml_hold(doc);
  make_builders(&m, top, group, project);
  m.all = pipe_take(m.w, (size_t)p->nbuilders + 1, sizeof *m.all);
  for (int i = 0; i < p->nbuilders; i++) {
    m.all[i] = p->builders[i].name;
    (void)map_set(m.builders, p->builders[i].name, &p->builders[i]);
  }
  pipe_make_schedulers(&m, yml_get(top, "schedulers"));
  map_free(m.builders);
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
