/* Key by key, from where the maker of the pipeline noted that it came from. */
#include "master/conf/pipe_explain.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/expr.h"
#include "master/conf/schema.h"

enum { VALUE_SHOWN = 200 }; /* bytes of a value; a script's first line says enough */

static const char *const origins[] = {
  [PIPE_OF_DROVER] = "default", [PIPE_OF_DEFAULTS] = "defaults", [PIPE_OF_BUILDER] = "builder", [PIPE_OF_MATRIX] = "matrix", [PIPE_OF_STEP] = "step",
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

static void add_run(struct explain *x, const struct pipe_step *s)
{
  const struct yml_node *run = yml_get(s->at.at, "run"), *given = yml_get(s->at.at, "checkout");
  struct pipe_source from = s->at;
  struct buf b;

  if (run || given)
    from.at = run ? run : given;
  if (s->kind == PIPE_CHECKOUT) {
    add(x, s, "checkout", "git", from);
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

static void add_step(struct explain *x, const struct pipe_step *s)
{
  const struct yml_node *cond = yml_get(s->at.at, "if");

  add_run(x, s);
  if (cond)
    add(x, s, "if", s->cond_text, (struct pipe_source){ PIPE_OF_STEP, cond });
  if (s->cwd)
    add(x, s, "cwd", s->cwd, s->cwd_from);
  add_time(x, s, "total", s->total_from);
  add_time(x, s, "idle", s->idle_from);
  add_env(x, s);
}

static void add_needs(struct explain *x, const struct pipe_builder *b)
{
  struct buf text;

  if (!b->nneeds)
    return;
  buf_init(&text, BUF_NO_MAX);
  for (int i = 0; i < b->nneeds; i++)
    buf_addf(&text, "%s%s%s", i ? ", " : "", b->needs[i].name, b->needs[i].soft ? " (soft)" : "");
  add(x, NULL, "needs", buf_str(&text), (struct pipe_source){ PIPE_OF_BUILDER, b->needs[0].at });
  buf_free(&text);
}

struct explain explain_builder(const struct pipe_builder *b)
{
  struct explain x = { 0 };
  struct buf tags;

  for (int i = 0; i < b->naxes; i++) {
    char *key = xasprintf("matrix.%s", b->axes[i].name);
    add(&x, NULL, key, b->axes[i].value, (struct pipe_source){ PIPE_OF_MATRIX, b->axes[i].at });
    free(key);
  }
  buf_init(&tags, BUF_NO_MAX);
  for (int i = 0; i < b->ntags; i++)
    buf_addf(&tags, "%s%s", i ? ", " : "", b->tags[i]);
  if (b->tags_from.at)
    add(&x, NULL, "worker.tags", b->ntags ? buf_str(&tags) : "[]", b->tags_from);
  buf_free(&tags);
  add_needs(&x, b);
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
