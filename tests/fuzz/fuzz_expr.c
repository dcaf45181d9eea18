/* Any bytes as an expression and as a text with expressions in it: no crash, an error with a place in the text, a value of the type that was promised. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "master/conf/expr.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

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
    check_value(&v, expr_result(x));
  else
    check_error(&e, size);
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
