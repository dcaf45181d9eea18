/* Any bytes as an expression and as a text with expressions in it: no crash, an error with a place in the text, a value of the type that was promised. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "master/conf/expr.h"

static const struct expr_name names[] = { { "t", EXPR_TEXT, "", NULL }, { "n", EXPR_NUMBER, "", NULL }, { "b", EXPR_BOOL, "", NULL }, { "l", EXPR_LIST, "", NULL }, { "a.*", EXPR_ANY, "", NULL }, { NULL, EXPR_NONE, NULL, NULL } };

static bool get(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  static const struct expr_value items[] = { { .type = EXPR_TEXT, .text = { "x/y", 3 } }, { .type = EXPR_NUMBER, .number = 7 } };

  (void)ctx, (void)m;
  switch (*path[0]) {
  case 't': *out = (struct expr_value){ .type = EXPR_TEXT, .text = { "main", 4 } }; return true;
  case 'n': *out = (struct expr_value){ .type = EXPR_NUMBER, .number = INT64_MAX }; return true;
  case 'b': *out = (struct expr_value){ .type = EXPR_BOOL, .yes = true }; return true;
  case 'l': *out = (struct expr_value){ .type = EXPR_LIST, .list = { items, 2 } }; return true;
  default: *out = items[n & 1]; return path[n - 1][0] & 1;
  }
}

static void check_value(const struct expr_value *v, enum expr_type promised)
{
  struct buf b;

  assert(v->type != EXPR_ANY);
  assert(promised == EXPR_ANY || v->type == promised || v->type == EXPR_NONE);
  buf_init(&b, 1u << 24);
  expr_show(v, &b);
  buf_free(&b);
}

static void check_error(struct expr_error *e, size_t size)
{
  assert(e->text && *e->text && e->at >= 0 && (size_t)e->at <= size);
  expr_error_free(e);
}

/* The text of a tree reads as a tree with the same text and the same value; its terms are as many and none is empty. */
static void check_text(const struct expr *x, const struct expr_value *v)
{
  struct expr_memory *m = expr_memory_new();
  struct buf one, two, term;
  struct expr_error e;
  struct expr_value w;
  struct expr *y;

  buf_init(&one, 1u << 24);
  buf_init(&two, 1u << 24);
  expr_text(x, &one);
  y = one.len > EXPR_TEXT_MAX ? NULL : expr_parse(buf_str(&one), one.len, names, EXPR_ANY, &e);
  if (one.len <= EXPR_TEXT_MAX && !y) {
    assert(strstr(e.text, "within each other")); /* a bracket more is the one too many */
    expr_error_free(&e);
  }
  if (y) {
    expr_text(y, &two);
    assert(one.len == two.len && (!one.len || !memcmp(one.data, two.data, one.len)));
    assert(expr_eval(y, get, NULL, m, &w, &e) == (v != NULL));
    if (v) {
      buf_free(&one);
      buf_free(&two);
      buf_init(&one, 1u << 24);
      buf_init(&two, 1u << 24);
      expr_show(v, &one);
      expr_show(&w, &two);
      assert(v->type == w.type && one.len == two.len && (!one.len || !memcmp(one.data, two.data, one.len)));
    } else {
      expr_error_free(&e);
    }
    for (int i = 0; i < expr_terms(y); i++) {
      buf_init(&term, 1u << 24);
      expr_term_text(y, i, &term);
      assert(term.len);
      buf_free(&term);
    }
  }
  expr_free(y);
  buf_free(&one);
  buf_free(&two);
  expr_memory_free(m);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
  struct expr_memory *m = expr_memory_new();
  struct expr_error e;
  struct expr_value v;
  struct expr *x = expr_parse((const char *)data, size, names, EXPR_ANY, &e);
  struct interp *t;

  if (!x)
    check_error(&e, size);
  else if (expr_eval(x, get, NULL, m, &v, &e))
    check_value(&v, expr_result(x)), check_text(x, &v);
  else
    check_error(&e, size), check_text(x, NULL);
  expr_free(x);
  t = interp_parse((const char *)data, size, names, &e);
  if (!t)
    check_error(&e, size);
  else if (interp_eval(t, get, NULL, m, &v, &e))
    check_value(&v, EXPR_ANY);
  else
    check_error(&e, size);
  interp_free(t);
  expr_memory_free(m);
  return 0;
}
