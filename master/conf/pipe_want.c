/* `worker` of a builder and of defaults: what is inherited, and the conditions that a request takes along. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/pipe_int.h"
#include "master/conf/worker_words.h"

/* The texts of a key that has one or several, made now where they have expressions. */
static struct pipe_words words_of(struct maker *m, const struct yml_node *n, const char *key, char *(*as)(const char *, char *), enum pipe_origin of, const struct expr_name *names)
{
  int all = n->kind == YML_LIST ? n->n : 1;
  struct pipe_words w = { pipe_take(m->w, (size_t)all + 1, sizeof *w.v), 0, { of, n } };
  char word[WORKER_WORD_MAX];

  for (int i = 0; i < all; i++) {
    const struct yml_node *it = n->kind == YML_LIST ? n->items[i] : n;
    char *text = it->kind == YML_SCALAR && !yml_is_null(it) ? pipe_made_text(m, it, SCHEMA_WANT, key, names) : NULL;
    if (text && as && *as(text, word))
      text = pipe_copy(m->w, word);
    for (int k = 0; text && k < w.n; k++)
      if (!strcmp(w.v[k], text))
        text = NULL;
    if (text)
      w.v[w.n++] = text;
  }
  return w;
}

/* What a condition on a worker may name: the worker, and the axes of the builder's matrix, which stand behind the names of a build. */
static const struct expr_name *condition_names(struct maker *m, const struct expr_name *names)
{
  int axes = 0;
  struct expr_name *v;

  while (names[PIPE_NAMES_COUNT + axes].name)
    axes++;
  if (!axes)
    return worker_names;
  v = pipe_scratch(m, (size_t)(WORKER_NAMES_COUNT + axes + 1), sizeof *v);
  memcpy(v, worker_names, WORKER_NAMES_COUNT * sizeof *v);
  memcpy(v + WORKER_NAMES_COUNT, names + PIPE_NAMES_COUNT, (size_t)axes * sizeof *v);
  return v;
}

void pipe_inherit_want(struct maker *m, struct inherit *h, const struct yml_node *map, enum pipe_origin of, const struct expr_name *names)
{
  const struct yml_node *tags = yml_get(map, "tags"), *os = yml_get(map, "os"), *arch = yml_get(map, "arch"), *name = yml_get(map, "name"), *pool = yml_get(map, "pool"), *memory = yml_get(map, "memory"),
                        *cond = yml_get(map, "if");

  if (tags)
    h->tags = words_of(m, tags, "tags", NULL, of, names);
  if (os)
    h->want.os = words_of(m, os, "os", worker_os, of, names);
  if (arch)
    h->want.arch = words_of(m, arch, "arch", worker_arch, of, names);
  if (name)
    h->want.name = words_of(m, name, "name", NULL, of, names);
  if (pool)
    h->want.pool = words_of(m, pool, "pool", NULL, of, names);
  if (memory) {
    h->want.memory = schema_size(map, SCHEMA_WANT, "memory");
    h->want.memory_from = (struct pipe_source){ of, memory };
  }
  if (cond && cond->kind == YML_SCALAR && !yml_is_null(cond)) {
    h->want.cond = cond;
    h->want.cond_names = condition_names(m, names);
    h->want.cond_from = (struct pipe_source){ of, cond };
  }
}

static void add(struct maker *m, struct pipe_builder *b, const struct yml_node *at, const struct buf *text)
{
  for (int i = 0; i < b->nwants; i++)
    if (!strcmp(b->wants[i], buf_str(text)))
      return;
  if (b->nwants == PIPELINE_WANTS_MAX)
    yml_error(m->d, at, NULL, "more than %d conditions on a worker, those of `os`, `arch`, `memory`, `name` and `pool` counted", PIPELINE_WANTS_MAX);
  else if (text->len > EXPR_TEXT_MAX)
    yml_error(m->d, at, NULL, "with the matrix's values written out the condition has more than %d bytes", EXPR_TEXT_MAX);
  else
    b->wants[b->nwants++] = pipe_copy(m->w, buf_str(text));
}

static void add_words(struct maker *m, struct pipe_builder *b, const char *name, const struct pipe_words *w)
{
  struct buf text;

  if (!w->n)
    return;
  buf_init(&text, BUF_NO_MAX); /* names need no escapes */
  buf_addf(&text, w->n == 1 ? "%s == " : "%s in [", name);
  for (int i = 0; i < w->n; i++)
    buf_addf(&text, "%s\"%s\"", i ? ", " : "", w->v[i]);
  if (w->n > 1)
    buf_addc(&text, ']');
  add(m, b, w->from.at, &text);
  buf_free(&text);
}

static void add_condition(struct maker *m, struct pipe_builder *b)
{
  struct expr *x = pipe_condition(&m->w->exprs, b->want.cond_names, b->want.cond, m->d);

  for (int i = 0; x && i < expr_terms(x); i++) {
    struct buf text;
    buf_init(&text, BUF_NO_MAX);
    expr_term_text(x, i, &text);
    add(m, b, b->want.cond, &text);
    buf_free(&text);
  }
}

void pipe_make_want(struct maker *m, struct pipe_builder *b, const struct inherit *h)
{
  struct buf text;

  b->tags = h->tags.v;
  b->ntags = h->tags.n;
  b->tags_from = h->tags.from;
  b->want = h->want;
  b->wants = pipe_take(m->w, PIPELINE_WANTS_MAX, sizeof *b->wants);
  add_words(m, b, "name", &b->want.name);
  add_words(m, b, "pool", &b->want.pool);
  add_words(m, b, "os", &b->want.os);
  add_words(m, b, "arch", &b->want.arch);
  if (b->want.memory) {
    char *least;
    struct expr_error e;
    struct expr *x;
    least = xasprintf("memory >= %lld", (long long)b->want.memory);
    x = expr_parse(least, strlen(least), worker_names, EXPR_BOOL, &e);
    buf_init(&text, BUF_NO_MAX);
    if (x)
      expr_text(x, &text); /* 8G again */
    add(m, b, b->want.memory_from.at, &text);
    buf_free(&text);
    expr_free(x);
    free(least);
  }
  if (b->want.cond)
    add_condition(m, b);
  b->want.cond_names = NULL; /* they go with the builder's scratch */
}
