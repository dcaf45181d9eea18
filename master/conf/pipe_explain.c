/* Key by key, from where the maker of the pipeline noted that it came from. */
#include "master/conf/pipe_explain.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/expr.h"
#include "master/conf/schema.h"

enum { VALUE_SHOWN = 200 }; /* bytes of a value; a script's first line says enough */

static const char *const origins[] = {
  [PIPE_OF_DROVER] = "default", [PIPE_OF_DEFAULTS] = "defaults", [PIPE_OF_BUILDER] = "builder", [PIPE_OF_MATRIX] = "matrix", [PIPE_OF_STEP] = "step", [PIPE_OF_SCHEDULER] = "scheduler",
};

static char *from_text(const struct pipe_source *s, const struct pipe_use *use)
{
  return s->of == PIPE_OF_STEP && use ? xstrdup(use->said + strlen("in ")) : xstrdup(origins[s->of]);
}

/* The first line that says something. */
static char *one_line(const char *text)
{
  const char *s = text + strspn(text, " \t\n");
  size_t n = strcspn(s, "\n");
  bool more = s[n] && s[n + strspn(s + n, " \t\n")];

  if (n > VALUE_SHOWN) {
    n = VALUE_SHOWN;
    while (n && ((unsigned char)s[n] & 0xc0) == 0x80) /* not through a character */
      n--;
    more = true;
  }
  return xasprintf("%.*s%s", (int)n, s, more ? " …" : "");
}

/* step, use: NULL of the builder. */
static void add(struct explain *x, const struct pipe_step *step, const char *key, const char *value, struct pipe_source from)
{
  x->v = xrealloc(x->v, (size_t)(x->n + 1) * sizeof *x->v);
  x->v[x->n++] = (struct explain_row){ .step = step ? step->name : NULL, .key = xstrdup(key), .value = one_line(value), .file = from.at ? from.at->doc->file : NULL,
                                       .line = from.at ? from.at->line : 0, .from = from_text(&from, step ? step->use : NULL) };
}

static bool nothing(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  (void)m, (void)path, (void)n, (void)out;
  *(bool *)ctx = true;
  return false;
}

/* What its expressions make, where no build is needed for that. */
static void add_known(struct buf *b, const char *text, const struct interp *t)
{
  struct expr_memory *m = expr_memory_new();
  struct expr_error e = { 0 };
  struct expr_value v;
  bool asked = false;

  if (t && interp_eval(t, nothing, &asked, m, &v, &e) && !asked)
    expr_show(&v, b);
  else
    buf_adds(b, text);
  expr_error_free(&e);
  expr_memory_free(m);
}

static void add_env(struct explain *x, const struct pipe_step *s)
{
  for (int i = 0; i < s->nenv; i++) {
    char *key = xasprintf("env.%s", s->env[i].name);
    struct buf b;
    buf_init(&b, BUF_NO_MAX);
    add_known(&b, s->env[i].value, s->env[i].text);
    add(x, s, key, buf_str(&b), s->env[i].from);
    buf_free(&b);
    free(key);
  }
}

static void add_trigger(struct explain *x, const struct pipe_step *s)
{
  const struct pipe_asks *a = s->asks;
  struct pipe_source from = { PIPE_OF_STEP, a->at };
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < a->nschedulers; i++)
    buf_addf(&b, "%s%s", b.len ? ", " : "", a->schedulers[i]->name);
  for (int i = 0; i < a->nbuilders; i++)
    buf_addf(&b, "%s%s", b.len ? ", " : "", a->builders[i]);
  for (int i = 0; i < a->noutside; i++)
    buf_addf(&b, "%s%s", b.len ? ", " : "", a->outside[i].name);
  if (a->branch)
    buf_addf(&b, " of branch %s", a->branch);
  add(x, s, "trigger", buf_str(&b), from);
  buf_free(&b);
  add(x, s, "wait", a->wait ? "true" : "false", from);
}

static void add_checkout(struct explain *x, const struct pipe_step *s, struct pipe_source from)
{
  const struct pipe_checkout *c = &s->checkout;
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, c->codebase ? c->codebase : "git");
  if (c->to)
    buf_addf(&b, ", to %s", c->to);
  if (c->depth)
    buf_addf(&b, ", depth %d", c->depth);
  if (c->submodules)
    buf_adds(&b, ", with submodules");
  if (c->keep)
    buf_adds(&b, ", not cleaned");
  add(x, s, "checkout", buf_str(&b), from);
  buf_free(&b);
}

static void add_run(struct explain *x, const struct pipe_step *s)
{
  const struct yml_node *run = yml_get(s->at.at, "run"), *given = yml_get(s->at.at, "checkout");
  struct pipe_source from = s->at;
  struct buf b;

  if (run || given)
    from.at = run ? run : given;
  if (s->kind == PIPE_CHECKOUT) {
    add_checkout(x, s, from);
    return;
  }
  buf_init(&b, BUF_NO_MAX);
  if (s->script)
    buf_adds(&b, s->script);
  for (int i = 0; s->argv && s->argv[i]; i++) {
    buf_adds(&b, i ? ", " : "[");
    add_known(&b, s->argv[i], s->args ? s->args[i] : NULL);
  }
  if (s->argv)
    buf_addc(&b, ']');
  add(x, s, "run", buf_str(&b), from);
  buf_free(&b);
}

static void add_time(struct explain *x, const struct pipe_step *s, const char *key, struct pipe_source from)
{
  char *path = xasprintf("timeout.%s", key);

  add(x, s, path, from.at ? from.at->text : schema_text(NULL, SCHEMA_TIMEOUT, key), from);
  free(path);
}

/* As it could be written in one line. */
static void add_node(struct buf *b, const struct yml_node *n)
{
  if (n->kind == YML_SCALAR) {
    buf_adds(b, n->text);
    return;
  }
  buf_addc(b, n->kind == YML_MAP ? '{' : '[');
  for (int i = 0; i < n->n; i++) {
    buf_adds(b, i ? ", " : "");
    if (n->kind == YML_MAP)
      buf_addf(b, "%s: ", n->keys[i]->text);
    add_node(b, n->items[i]);
  }
  buf_addc(b, n->kind == YML_MAP ? '}' : ']');
}

static void add_said(struct explain *x, const struct pipe_step *s, const char *key, struct pipe_source from)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  add_node(&b, from.at);
  add(x, s, key, buf_str(&b), from);
  buf_free(&b);
}

/* What the step's end means: only what is said. */
static void add_results(struct explain *x, const struct pipe_step *s)
{
  static const char *const keys[] = { "always", "on_failure", "halt", "on_warnings", "exit", "retry", "warnings", "hide_if", "shell", "stdin", "pty", "logs" };

  for (size_t i = 0; i < COUNT(keys); i++) {
    const struct yml_node *n = yml_get(s->at.at, keys[i]);
    if (n)
      add_said(x, s, keys[i], (struct pipe_source){ PIPE_OF_STEP, n });
  }
}

static void add_step(struct explain *x, const struct pipe_step *s)
{
  const struct yml_node *cond = yml_get(s->at.at, "if");

  if (s->asks)
    add_trigger(x, s);
  else
    add_run(x, s);
  if (cond)
    add(x, s, "if", s->cond_text, (struct pipe_source){ PIPE_OF_STEP, cond });
  add_results(x, s);
  if (s->lost_from.at)
    add_said(x, s, "on_lost", s->lost_from);
  if (s->cwd)
    add(x, s, "cwd", s->cwd, s->cwd_from);
  if (s->asks)
    return;
  add_time(x, s, "total", s->total_from);
  add_time(x, s, "idle", s->idle_from);
  if (s->output_from.at)
    add_said(x, s, "output", s->output_from);
  add_env(x, s);
  for (int i = 0; i < s->nsecrets && s->secrets[i].env; i++) { /* those of standard input come behind them */
    char *key = xasprintf("secrets.%s", s->secrets[i].env), *value = xasprintf("%s: %s", s->secrets[i].file ? "file" : "env", s->secrets[i].name);
    add(x, s, key, value, (struct pipe_source){ PIPE_OF_STEP, s->secrets[i].at });
    free(key);
    free(value);
  }
}

static void add_needs(struct explain *x, const struct pipe_builder *b)
{
  struct buf text;

  if (!b->nneeds && !b->noutside)
    return;
  buf_init(&text, BUF_NO_MAX);
  for (int i = 0; i < b->nneeds; i++)
    buf_addf(&text, "%s%s%s", i ? ", " : "", b->needs[i].name, b->needs[i].soft ? " (soft)" : "");
  for (int i = 0; i < b->noutside; i++)
    buf_addf(&text, "%s%s%s", text.len ? ", " : "", b->outside[i].name, b->outside[i].soft ? " (soft)" : "");
  add(x, NULL, "needs", buf_str(&text), (struct pipe_source){ PIPE_OF_BUILDER, b->nneeds ? b->needs[0].at : b->outside[0].at });
  buf_free(&text);
}

static void add_words(struct explain *x, const char *key, const struct pipe_words *w)
{
  struct buf text;

  if (!w->from.at)
    return;
  buf_init(&text, BUF_NO_MAX);
  for (int i = 0; i < w->n; i++)
    buf_addf(&text, "%s%s", i ? ", " : "", w->v[i]);
  add(x, NULL, key, w->n ? buf_str(&text) : "[]", w->from);
  buf_free(&text);
}

static void add_want(struct explain *x, const struct pipe_builder *b)
{
  char memory[STR_SIZE_MAX];

  add_words(x, "worker.tags", &(struct pipe_words){ b->tags, b->ntags, b->tags_from });
  add_words(x, "worker.name", &b->want.name);
  add_words(x, "worker.pool", &b->want.pool);
  add_words(x, "worker.os", &b->want.os);
  add_words(x, "worker.arch", &b->want.arch);
  if (b->want.memory_from.at)
    add(x, NULL, "worker.memory", str_size_text(b->want.memory, memory), b->want.memory_from);
  if (b->want.cond)
    add(x, NULL, "worker.if", b->want.cond->text, b->want.cond_from);
}

/* Schedulers that ask for it by what has changed: a change in which codebases does. */
static void add_from(struct explain *x, const struct pipeline *p, const struct pipe_builder *b)
{
  const char **sources;
  int n = pipeline_sources(p, b, &sources);

  for (int i = 0; i < p->nschedulers; i++) {
    const struct pipe_scheduler *s = &p->schedulers[i];
    struct buf text;
    bool asks = false;
    for (int k = 0; s->from_changed && k < s->nbuilders && !asks; k++)
      asks = s->builders[k] == b->name;
    if (!asks)
      continue;
    buf_init(&text, BUF_NO_MAX);
    buf_addf(&text, "changed, for scheduler %s: ", s->name);
    for (int k = 0; k < n; k++)
      buf_addf(&text, "%s%s", k ? ", " : "", *sources[k] ? sources[k] : n > 1 ? "the main codebase" : "the repository");
    add(x, NULL, "from", buf_str(&text), (struct pipe_source){ PIPE_OF_SCHEDULER, s->from_at });
    buf_free(&text);
  }
  free(sources);
}

struct explain explain_builder(const struct pipeline *p, const struct pipe_builder *b)
{
  struct explain x = { 0 };

  for (int i = 0; i < b->naxes; i++) {
    char *key = xasprintf("matrix.%s", b->axes[i].name);
    add(&x, NULL, key, b->axes[i].value, (struct pipe_source){ PIPE_OF_MATRIX, b->axes[i].at });
    free(key);
  }
  add_want(&x, b);
  add_needs(&x, b);
  add_from(&x, p, b);
  for (int i = 0; i < b->nsteps; i++)
    add_step(&x, &b->steps[i]);
  return x;
}

void explain_free(struct explain *x)
{
  for (int i = 0; i < x->n; i++) {
    free(x->v[i].key);
    free(x->v[i].value);
    free(x->v[i].from);
  }
  free(x->v);
  *x = (struct explain){ 0 };
}

cJSON *explain_json(const struct pipeline *p, const struct pipe_builder *b)
{
  cJSON *list = cJSON_CreateArray();
  struct explain x = explain_builder(p, b);

  for (int i = 0; i < x.n; i++) {
    const struct explain_row *r = &x.v[i];
    cJSON *it = cJSON_CreateObject();
    cJSON_AddItemToObject(it, "step", r->step ? cJSON_CreateString(r->step) : cJSON_CreateNull());
    cJSON_AddStringToObject(it, "key", r->key);
    cJSON_AddStringToObject(it, "value", r->value);
    cJSON_AddItemToObject(it, "file", r->file ? cJSON_CreateString(r->file) : cJSON_CreateNull());
    cJSON_AddItemToObject(it, "line", r->file ? cJSON_CreateNumber(r->line) : cJSON_CreateNull());
    cJSON_AddStringToObject(it, "from", r->from);
    cJSON_AddItemToArray(list, it);
  }
  explain_free(&x);
  return list;
}
