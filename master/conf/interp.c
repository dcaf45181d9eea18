/* Texts with `${{ expression }}` in them: cut into pieces once, put together as often as there are values. */
#include <stdlib.h>
#include <string.h>

#include "master/conf/expr_int.h"

#define OPEN "${{"
#define CLOSE "}}"

struct piece {
  char *text;            /* literally; or */
  size_t len;
  struct expr *x;
  int at;                /* of the expression in the text */
};
struct interp {
  struct piece *piece;
  int n;
};

static struct piece *add(struct interp *t)
{
  t->piece = xrealloc(t->piece, (size_t)(t->n + 1) * sizeof *t->piece);
  t->piece[t->n] = (struct piece){ 0 };
  return &t->piece[t->n++];
}

static void add_text(struct interp *t, const char *s, size_t n)
{
  struct piece *p;

  if (!n)
    return;
  p = add(t);
  p->text = xstrndup(s, n);
  p->len = n;
}

/* The end of an expression that begins at s: the first }} outside of quotes. NULL: there is none. */
static const char *find_end(const char *s, const char *end)
{
  char quote = 0;

  for (; s < end; s++) {
    if (quote && *s == '\\')
      s++;
    else if (quote)
      quote = *s == quote ? 0 : quote;
    else if (*s == '"' || *s == '\'')
      quote = *s;
    else if (*s == '}' && s + 1 < end && s[1] == '}')
      return s;
  }
  return NULL;
}

struct interp *interp_parse(const char *text, size_t len, const struct expr_name *names, struct expr_error *e)
{
  struct interp *t = xcalloc(1, sizeof *t);
  const char *s = text, *end = text + len, *open, *close;

  *e = (struct expr_error){ 0 };
  while ((open = memmem(s, (size_t)(end - s), OPEN, strlen(OPEN)))) {
    struct piece *p;
    if (open > s && open[-1] == '$') { /* $${{ */
      add_text(t, s, (size_t)(open - s));
      s = open + 1;
      add_text(t, s, strlen(OPEN) - 1);
      s += strlen(OPEN) - 1;
      continue;
    }
    add_text(t, s, (size_t)(open - s));
    open += strlen(OPEN);
    close = find_end(open, end);
    if (!close) {
      expr_fail(e, (int)(open - text) - (int)strlen(OPEN), "write $" OPEN " where you mean the three characters", "%s has no %s", OPEN, CLOSE);
      interp_free(t);
      return NULL;
    }
    p = add(t);
    p->at = (int)(open - text);
    p->x = expr_parse(open, (size_t)(close - open), names, EXPR_ANY, e);
    if (!p->x) {
      e->at += p->at;
      interp_free(t);
      return NULL;
    }
    s = close + strlen(CLOSE);
  }
  add_text(t, s, (size_t)(end - s));
  return t;
}

void interp_free(struct interp *t)
{
  if (!t)
    return;
  for (int i = 0; i < t->n; i++) {
    free(t->piece[i].text);
    expr_free(t->piece[i].x);
  }
  free(t->piece);
  free(t);
}

bool interp_is_plain(const struct interp *t)
{
  for (int i = 0; i < t->n; i++)
    if (t->piece[i].x)
      return false;
  return true;
}

static bool eval_piece(const struct piece *p, expr_get *get, void *ctx, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  if (!expr_eval(p->x, get, ctx, m, out, e)) {
    e->at += p->at;
    return false;
  }
  if (out->type != EXPR_NONE)
    return true;
  expr_fail(e, p->at, "say what stands there then: NAME ?? \"\"", "this has no value");
  return false;
}

bool interp_eval(const struct interp *t, expr_get *get, void *ctx, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  struct buf b;
  char *s;
  bool ok = true;

  *e = (struct expr_error){ 0 };
  if (t->n == 1 && t->piece[0].x)
    return eval_piece(&t->piece[0], get, ctx, m, out, e);
  buf_init(&b, EXPR_RESULT_MAX);
  for (int i = 0; i < t->n && ok; i++) {
    struct expr_value v;
    if (!t->piece[i].x) {
      buf_add(&b, t->piece[i].text, t->piece[i].len);
      continue;
    }
    ok = eval_piece(&t->piece[i], get, ctx, m, &v, e);
    if (ok)
      expr_show(&v, &b);
  }
  if (ok && b.failed) {
    expr_fail(e, 0, NULL, "the text is longer than %u bytes", EXPR_RESULT_MAX);
    ok = false;
  }
  if (ok) {
    s = expr_take(m, b.len + 1);
    memcpy(s, buf_str(&b), b.len + 1);
    *out = (struct expr_value){ .type = EXPR_TEXT, .text = { s, b.len } };
  }
  buf_free(&b);
  return ok;
}

const struct expr *interp_each(const struct interp *t, int *i, int *at)
{
  for (; *i < t->n; ++*i)
    if (t->piece[*i].x) {
      *at = t->piece[*i].at;
      return t->piece[(*i)++].x;
    }
  return NULL;
}
