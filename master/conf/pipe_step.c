/* Steps: what they inherit, scripts and arguments, conditions, names. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"
#include "master/conf/pipe_int.h"

enum {
  NAME_CUT = 40, /* of a name made from a script; leaves room for a number */
  MAX_NAME = 64,
};

/* --- what is inherited --- */

void pipe_inherit_var(struct maker *m, struct inherit *h, const struct env_var *add, int nadd, const struct yml_node *at)
{
  struct env_var *v = pipe_take(m->w, (size_t)(h->nenv + nadd), sizeof *v);
  int n = h->nenv;
  size_t bytes = 0;

  if (n)
    memcpy(v, h->env, (size_t)n * sizeof *v);
  for (int i = 0; i < nadd; i++) {
    int k = 0;
    while (k < n && strcmp(v[k].name, add[i].name))
      k++;
    v[k] = add[i];
    n += k == n;
  }
  for (int i = 0; i < n; i++)
    bytes += strlen(v[i].name) + strlen(v[i].value) + 2;
  if (n > PIPELINE_ENV_MAX || bytes > PIPELINE_ENV_BYTES_MAX) {
    yml_error(m->d, at, NULL, "more than %d variables or %u KiB, those inherited counted", PIPELINE_ENV_MAX, PIPELINE_ENV_BYTES_MAX >> 10);
    return;
  }
  h->env = v;
  h->nenv = n;
}

static void inherit_env(struct maker *m, struct inherit *h, const struct yml_node *env, enum pipe_origin of, const struct expr_name *names)
{
  struct env_var *v;
  int n = 0;

  if (!env || env->kind != YML_MAP || !env->n)
    return;
  if (env->n > PIPELINE_ENV_MAX) {
    yml_error(m->d, env, NULL, "more than %d variables", PIPELINE_ENV_MAX);
    return;
  }
  v = xcalloc((size_t)env->n, sizeof *v);
  for (int i = 0; i < env->n; i++)
    if (env->items[i]->kind == YML_SCALAR)
      v[n++] = (struct env_var){ env->keys[i]->text, env->items[i]->text, pipe_text(&m->w->exprs, names, env->items[i], m->d), { of, env->items[i] } };
  pipe_inherit_var(m, h, v, n, env);
  free(v);
}

char *pipe_made_text(struct maker *m, const struct yml_node *n, enum schema_group group, const char *key, const struct expr_name *names)
{
  enum expr_type type;
  struct buf text;
  char *out = NULL;

  if (!pipe_has_expr(n))
    return n->text;
  buf_init(&text, EXPR_RESULT_MAX);
  if (pipe_fixed(names, n, m->dry, &text, &type, m->d) && type != EXPR_NONE && schema_check_made(n, buf_str(&text), group, key, m->d))
    out = pipe_copy(m->w, buf_str(&text));
  buf_free(&text);
  return out;
}

void pipe_inherit(struct maker *m, struct inherit *h, const struct yml_node *map, enum schema_group group, enum pipe_origin of, const struct expr_name *names)
{
  const struct yml_node *timeout = yml_get(map, "timeout"), *cwd = yml_get(map, "cwd"), *n;

  inherit_env(m, h, yml_get(map, "env"), of, names);
  if (cwd) {
    h->cwd = pipe_has_expr(cwd) ? pipe_made_text(m, cwd, group, "cwd", names) : schema_text(map, group, "cwd");
    h->cwd_from = (struct pipe_source){ of, cwd };
  }
  if (timeout && timeout->kind == YML_SCALAR && !yml_is_null(timeout)) {
    h->total_ms = schema_ms(map, group, "timeout");
    h->total_from = (struct pipe_source){ of, timeout };
  }
  if ((n = yml_get(timeout, "total"))) {
    h->total_ms = schema_ms(timeout, SCHEMA_TIMEOUT, "total");
    h->total_from = (struct pipe_source){ of, n };
  }
  if ((n = yml_get(timeout, "idle"))) {
    h->idle_ms = schema_ms(timeout, SCHEMA_TIMEOUT, "idle");
    h->idle_from = (struct pipe_source){ of, n };
  }
  if ((n = yml_get(map, "output"))) {
    output_read(&h->output, map, group);
    h->output_from = (struct pipe_source){ of, n };
  }
  pipe_inherit_lost(h, map, group, of);
  if (yml_get(map, "shell"))
    h->bash = str_eq(schema_text(map, group, "shell"), "bash");
  pipe_inherit_want(m, h, yml_get(map, "worker"), of, names);
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
  if (s->kind == PIPE_CHECKOUT && s->checkout.folder)
    snprintf(out, NAME_CUT + 1, "checkout-%.*s", NAME_CUT - (int)strlen("checkout-"), s->checkout.codebase);
  else if (!n)
    strcpy(out, s->kind == PIPE_CHECKOUT ? "checkout" : s->kind == PIPE_TRIGGER ? "trigger" : "run");
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
static void name_steps(struct maker *m, struct pipe_builder *b, const struct flat *f)
{
  struct map *used = map_new(), *counts = map_new();

  for (int i = 0; i < b->nsteps; i++) {
    const struct flat_step *at = &f->v[i];
    const struct yml_node *n = yml_get(at->n, "name");
    char *name;
    m->d->context = at->use ? at->use->said : NULL;
    if (!n || n->kind != YML_SCALAR || !(name = pipe_made_text(m, n, SCHEMA_STEP, "name", at->names)))
      continue;
    if (at->checkout && at->checkout->folder)
      yml_error(m->d, n, "leave it out: each of them is a step, called checkout-CODEBASE", "a checkout of several codebases has no name of its own");
    else if (map_set(used, name, b))
      yml_error(m->d, n, NULL, "two steps of builder \"%s\" have the name \"%s\"", b->base, name);
    b->steps[i].name = name;
  }
  m->d->context = NULL;
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

/* --- one step --- */

/* argv has an item for each scalar of the list. */
static void set_args(struct maker *m, struct pipe_step *s, const struct expr_name *names, const struct yml_node *run, int n)
{
  int at = 0;

  for (int i = 0; i < run->n; i++) {
    const struct interp *t = pipe_text(&m->w->exprs, names, run->items[i], m->d);
    if (t && !s->args)
      s->args = pipe_take(m->w, (size_t)n, sizeof *s->args);
    if (t)
      s->args[at] = t;
    at += run->items[i]->kind == YML_SCALAR;
  }
}

static void set_run(struct maker *m, struct pipe_step *s, const struct expr_name *names, const struct yml_node *run)
{
  size_t bytes = 0;
  int n;

  if (run->kind == YML_SCALAR)
    s->script = run->text;
  if (run->kind != YML_LIST)
    return;
  s->argv = pipe_strings(m->w, run, &n);
  set_args(m, s, names, run, n);
  for (int i = 0; i < n; i++)
    bytes += strlen(s->argv[i]) + 1;
  if (n > PIPELINE_ARGV_MAX || bytes > PIPELINE_ARGV_BYTES_MAX)
    yml_error(m->d, run, NULL, "more than %d arguments or %u KiB", PIPELINE_ARGV_MAX,
              PIPELINE_ARGV_BYTES_MAX >> 10);
}

static void refuse_in_checkout(struct maker *m, const struct yml_node *n)
{
  static const char *const words[] = { "run", "cwd", "env", "secrets", "stdin", "pty", "logs", "locks", "exit", "retry", "warnings", "shell" };

  for (size_t i = 0; i < COUNT(words); i++)
    if (yml_get(n, words[i]))
      yml_error(m->d, yml_get_key(n, words[i]),
                strcmp(words[i], "run") ? NULL : "make it a step of its own",
                "a checkout has no \"%s\"", words[i]);
}

static void refuse_in_trigger(struct maker *m, const struct yml_node *n)
{
  static const char *const words[] = { "run", "checkout", "cwd", "env", "secrets", "stdin", "pty", "logs", "locks", "timeout", "output", "retry", "exit" };

  for (size_t i = 0; i < COUNT(words); i++)
    if (yml_get(n, words[i]))
      yml_error(m->d, yml_get_key(n, words[i]), i < 2 ? "make it a step of its own" : NULL, "a trigger has no \"%s\"", words[i]);
}

/* h: by value, the step's own is added. */
void pipe_make_step(struct maker *m, struct pipe_step *s, const struct flat_step *f, struct inherit h)
{
  const struct yml_node *n = f->n, *run = n->kind == YML_MAP ? yml_get(n, "run") : n, *cond = yml_get(n, "if"), *trigger = yml_get(n, "trigger");

  *s = (struct pipe_step){ .kind = trigger ? PIPE_TRIGGER : pipe_is_checkout(n) ? PIPE_CHECKOUT : PIPE_RUN, .line = n->line, .at = { PIPE_OF_STEP, n }, .use = f->use };
  if (s->kind == PIPE_CHECKOUT)
    refuse_in_checkout(m, n);
  else if (trigger)
    refuse_in_trigger(m, n), pipe_read_trigger(m, s, trigger, f->names);
  else if (run)
    set_run(m, s, f->names, run);
  else if (!pipe_strange_key(n, SCHEMA_STEP))
    yml_error(m->d, n, NULL, "a step wants \"run\", \"checkout\", \"trigger\" or \"use\"");
  if (n->kind == YML_MAP)
    pipe_inherit(m, &h, n, SCHEMA_STEP, PIPE_OF_STEP, f->names);
  if (cond && cond->kind == YML_SCALAR) {
    s->cond = pipe_condition(&m->w->exprs, f->names, cond, m->d);
    s->cond_text = cond->text;
  }
  s->env = h.env;
  s->nenv = h.nenv;
  if (s->kind == PIPE_RUN && n->kind == YML_MAP)
    pipe_take_secrets(m, s, yml_get(n, "secrets")), pipe_take_input(m, s, n, f->names);
  if (s->kind == PIPE_RUN && n->kind == YML_MAP)
    pipe_take_logs(m, s, yml_get(n, "logs"));
  pipe_take_results(m, s, n, f->names);
  if (s->kind == PIPE_RUN && n->kind == YML_MAP)
    pipe_take_locks(m, NULL, s, yml_get(n, "locks"));
  s->cwd = s->kind == PIPE_RUN ? (char *)(uintptr_t)h.cwd : NULL;
  s->cwd_from = h.cwd_from;
  s->total_ms = h.total_ms;
  s->total_from = h.total_from;
  s->idle_ms = h.idle_ms;
  s->output = h.output;
  s->output_from = h.output_from;
  s->on_lost = h.on_lost;
  s->bash = h.bash;
  s->lost_from = h.lost_from;
  s->idle_from = h.idle_from;
}

/* --- all of a builder --- */

static void make_steps(struct maker *m, struct pipe_builder *b, const struct yml_node *at, const struct flat *f, const struct inherit *h)
{
  b->steps = pipe_take(m->w, (size_t)b->nsteps, sizeof *b->steps);
  for (int i = 0; i < f->n; i++) {
    const struct flat_step *it = &f->v[i];
    int before = diag_count(m->d);
    m->d->context = it->use ? it->use->said : NULL;
    if (it->n)
      pipe_make_step(m, &b->steps[i], it, *h);
    else
      b->steps[i] = (struct pipe_step){ .kind = PIPE_CHECKOUT, .env = h->env, .nenv = h->nenv, .total_ms = h->total_ms, .idle_ms = h->idle_ms, .output = h->output, .on_lost = h->on_lost, .line = at->line,
                                        .total_from = h->total_from, .idle_from = h->idle_from, .output_from = h->output_from, .lost_from = h->lost_from };
    if (it->checkout)
      b->steps[i].checkout = *it->checkout;
    if (it->of && diag_count(m->d) != before)
      pipe_template_bad(it->of);
  }
  m->d->context = NULL;
  name_steps(m, b, f);
  pipe_join_checkouts(m, b);
}

void pipe_make_steps(struct maker *m, struct pipe_builder *b, const struct yml_node *at, const struct yml_node *list, const struct inherit *h, const struct expr_name *names)
{
  struct flat f = { 0 };

  pipe_flatten(m, list, names, &f);
  pipe_put_checkouts(m, at->kind == YML_MAP ? at : NULL, &f, names);
  b->nsteps = f.n;
  m->steps += b->nsteps;
  if (m->steps > PIPELINE_STEPS_MAX) {
    yml_error(m->d, list, NULL, "more than %d steps in all builders", PIPELINE_STEPS_MAX);
    b->nsteps = 0;
  } else {
    make_steps(m, b, at, &f, h);
  }
  free(f.v);
}
