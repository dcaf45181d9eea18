/* The value of a tree. Each node is looked at once at most, so there is nothing to bound but the size of the texts that it makes. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/expr_int.h"

/* ---- memory: a list of blocks ---- */

struct block {
  struct block *next;
  _Alignas(16) char bytes[];
};
struct expr_memory {
  struct block *first;
};

struct expr_memory *expr_memory_new(void)
{
  return xcalloc(1, sizeof(struct expr_memory));
}

void expr_memory_free(struct expr_memory *m)
{
  struct block *next;

  for (struct block *b = m->first; b; b = next) {
    next = b->next;
    free(b);
  }
  free(m);
}

void *expr_take(struct expr_memory *m, size_t n)
{
  struct block *b = xmalloc(sizeof *b + n);

  b->next = m->first;
  m->first = b;
  return b->bytes;
}

/* ---- errors ---- */

void expr_fail(struct expr_error *e, int at, const char *help, const char *fmt, ...)
{
  va_list ap;

  if (e->text)
    return;
  va_start(ap, fmt);
  e->text = xvasprintf(fmt, ap);
  va_end(ap);
  e->at = at;
  e->help = xstrdup(help);
}

void expr_error_free(struct expr_error *e)
{
  free(e->text);
  free(e->help);
  *e = (struct expr_error){ 0 };
}

const char *expr_type_name(enum expr_type t)
{
  static const char *const names[] = { "none", "true or false", "a number", "a text", "a list", "any value" };

  return names[t];
}

/* ---- evaluation ---- */

struct eval {
  const struct expr *x;
  expr_get *get;
  void *ctx;
  struct expr_memory *m;
  struct expr_error *e;
};

static bool value_of(struct eval *v, int node, struct expr_value *out);

bool expr_true(const struct expr_value *v)
{
  return v->type == EXPR_BOOL && v->yes;
}

static const char *name_of(const struct expr_node *n, struct buf *b)
{
  for (int i = 0; i < n->n; i++)
    buf_addf(b, "%s%s", i ? "." : "", n->path[i]);
  return buf_str(b);
}

/* What a value of the wrong type is called: a name without a value by its name. */
static bool wrong(struct eval *v, int node, const struct expr_value *is, enum expr_type wanted)
{
  const struct expr_node *n = &v->x->node[node];
  struct buf name;

  buf_init(&name, BUF_NO_MAX);
  if (is->type == EXPR_NONE && n->op == OP_NAME)
    expr_fail(v->e, n->at, "say what counts then: NAME ?? VALUE", "%s has no value, and %s is wanted", name_of(n, &name), expr_type_name(wanted));
  else
    expr_fail(v->e, n->at, NULL, "this is %s, and %s is wanted", expr_type_name(is->type), expr_type_name(wanted));
  buf_free(&name);
  return false;
}

static bool typed(struct eval *v, int node, enum expr_type t, struct expr_value *out)
{
  return value_of(v, node, out) && (out->type == t || wrong(v, node, out, t));
}

static bool condition(struct eval *v, int node, bool *yes)
{
  struct expr_value is;

  if (!value_of(v, node, &is))
    return false;
  *yes = expr_true(&is);
  return is.type == EXPR_BOOL || is.type == EXPR_NONE || wrong(v, node, &is, EXPR_BOOL);
}

static bool same(const struct expr_value *a, const struct expr_value *b)
{
  if (a->type != b->type)
    return false;
  switch (a->type) {
  case EXPR_BOOL: return a->yes == b->yes;
  case EXPR_NUMBER: return a->number == b->number;
  case EXPR_TEXT: return a->text.len == b->text.len && !memcmp(a->text.s, b->text.s, a->text.len);
  case EXPR_LIST:
    if (a->list.n != b->list.n)
      return false;
    for (int i = 0; i < a->list.n; i++)
      if (!same(&a->list.v[i], &b->list.v[i]))
        return false;
    return true;
  default: return true;
  }
}

static int order(const struct expr_value *a, const struct expr_value *b)
{
  size_t n;
  int c;

  if (a->type == EXPR_NUMBER)
    return (a->number > b->number) - (a->number < b->number);
  n = a->text.len < b->text.len ? a->text.len : b->text.len;
  c = memcmp(a->text.s, b->text.s, n);
  return c ? c : (a->text.len > b->text.len) - (a->text.len < b->text.len);
}

static bool compare(struct eval *v, const struct expr_node *n, struct expr_value *out)
{
  struct expr_value a, b;
  int c;

  if (!value_of(v, n->kid[0], &a) || !value_of(v, n->kid[1], &b))
    return false;
  out->type = EXPR_BOOL;
  if (n->op == OP_EQ || n->op == OP_NE) {
    if (a.type != b.type && a.type != EXPR_NONE && b.type != EXPR_NONE) {
      expr_fail(v->e, n->at, "text(x) and number(x) make one of the other", "%s is compared with %s", expr_type_name(a.type), expr_type_name(b.type));
      return false;
    }
    out->yes = same(&a, &b) == (n->op == OP_EQ);
    return true;
  }
  if (a.type != EXPR_NUMBER && a.type != EXPR_TEXT)
    return wrong(v, n->kid[0], &a, b.type == EXPR_TEXT ? EXPR_TEXT : EXPR_NUMBER);
  if (a.type != b.type)
    return wrong(v, n->kid[1], &b, a.type);
  c = order(&a, &b);
  out->yes = n->op == OP_LT ? c < 0 : n->op == OP_LE ? c <= 0 : n->op == OP_GT ? c > 0 : c >= 0;
  return true;
}

static bool contains(struct eval *v, const struct expr_node *n, struct expr_value *out)
{
  struct expr_value a, b;
  bool found = false;

  if (!value_of(v, n->kid[0], &a) || !value_of(v, n->kid[1], &b))
    return false;
  if (b.type == EXPR_TEXT && a.type != EXPR_TEXT)
    return wrong(v, n->kid[0], &a, EXPR_TEXT);
  if (b.type == EXPR_TEXT)
    found = !a.text.len || memmem(b.text.s, b.text.len, a.text.s, a.text.len);
  else if (b.type != EXPR_LIST && b.type != EXPR_NONE)
    return wrong(v, n->kid[1], &b, EXPR_LIST);
  for (int i = 0; b.type == EXPR_LIST && i < b.list.n && !found; i++)
    found = same(&a, &b.list.v[i]);
  *out = (struct expr_value){ .type = EXPR_BOOL, .yes = found == (n->op == OP_IN) };
  return true;
}

/* a: what the left side is; it is not looked at again, or operators within each other would double the work each time. */
static bool reckon(struct eval *v, const struct expr_node *n, struct expr_value a, struct expr_value *out)
{
  struct expr_value b;
  bool over = false;

  if (!typed(v, n->kid[1], EXPR_NUMBER, &b))
    return false;
  out->type = EXPR_NUMBER;
  if ((n->op == OP_DIV || n->op == OP_MOD) && !b.number) {
    expr_fail(v->e, n->at, NULL, "a division by zero");
    return false;
  }
  switch (n->op) {
  case OP_ADD: over = __builtin_add_overflow(a.number, b.number, &out->number); break;
  case OP_SUB: over = __builtin_sub_overflow(a.number, b.number, &out->number); break;
  case OP_MUL: over = __builtin_mul_overflow(a.number, b.number, &out->number); break;
  default:
    over = a.number == INT64_MIN && b.number == -1;
    if (!over)
      out->number = n->op == OP_DIV ? a.number / b.number : a.number % b.number;
  }
  if (over)
    expr_fail(v->e, n->at, NULL, "the result is too large for 64 bits");
  return !over;
}

static bool arithmetic(struct eval *v, const struct expr_node *n, struct expr_value *out)
{
  struct expr_value a;

  return typed(v, n->kid[0], EXPR_NUMBER, &a) && reckon(v, n, a, out);
}

static bool add(struct eval *v, const struct expr_node *n, struct expr_value *out)
{
  struct expr_value a, b;
  char *s;

  if (!value_of(v, n->kid[0], &a))
    return false;
  if (a.type == EXPR_NUMBER)
    return reckon(v, n, a, out);
  if (a.type != EXPR_TEXT)
    return wrong(v, n->kid[0], &a, n->type == EXPR_ANY ? EXPR_TEXT : n->type);
  if (!typed(v, n->kid[1], EXPR_TEXT, &b))
    return false;
  if (a.text.len + b.text.len > EXPR_RESULT_MAX) {
    expr_fail(v->e, n->at, NULL, "the text is longer than %u bytes", EXPR_RESULT_MAX);
    return false;
  }
  s = expr_take(v->m, a.text.len + b.text.len + 1);
  memcpy(s, a.text.s, a.text.len);
  memcpy(s + a.text.len, b.text.s, b.text.len);
  s[a.text.len + b.text.len] = 0;
  *out = (struct expr_value){ .type = EXPR_TEXT, .text = { s, a.text.len + b.text.len } };
  return true;
}

static bool list(struct eval *v, const struct expr_node *n, struct expr_value *out)
{
  struct expr_value *items = expr_take(v->m, ((size_t)n->n + 1) * sizeof *items);
  int i = 0;

  for (int k = n->kid[0]; k; k = v->x->node[k].next)
    if (!value_of(v, k, &items[i++]))
      return false;
  *out = (struct expr_value){ .type = EXPR_LIST, .list = { items, n->n } };
  return true;
}

static bool call(struct eval *v, const struct expr_node *n, struct expr_value *out)
{
  const struct expr_function *f = n->function;
  struct expr_value arg[EXPR_ARGS_MAX];
  int i = 0;

  for (int k = n->kid[0]; k; k = v->x->node[k].next, i++) {
    if (!value_of(v, k, &arg[i]))
      return false;
    if (arg[i].type != f->arg[i] && !(f->arg[i] == EXPR_ANY && (arg[i].type != EXPR_NONE || f->takes_none)))
      return wrong(v, k, &arg[i], f->arg[i]);
  }
  return f->call(arg, n->n, n->at, v->m, out, v->e);
}

static bool value_of(struct eval *v, int node, struct expr_value *out)
{
  const struct expr_node *n = &v->x->node[node];
  bool yes;

  *out = (struct expr_value){ .type = EXPR_NONE };
  switch (n->op) {
  case OP_VALUE:
    *out = n->value;
    return true;
  case OP_NAME:
    if (!v->get(v->ctx, v->m, n->path, n->n, out))
      *out = (struct expr_value){ .type = EXPR_NONE };
    if (n->type != EXPR_ANY && out->type != n->type && out->type != EXPR_NONE)
      return wrong(v, node, out, n->type);
    return true;
  case OP_LIST:
    return list(v, n, out);
  case OP_CALL:
    return call(v, n, out);
  case OP_OR:
  case OP_AND:
    if (!condition(v, n->kid[0], &yes) || (yes == (n->op == OP_AND) && !condition(v, n->kid[1], &yes)))
      return false;
    *out = (struct expr_value){ .type = EXPR_BOOL, .yes = yes };
    return true;
  case OP_NOT:
    if (!condition(v, n->kid[0], &yes))
      return false;
    *out = (struct expr_value){ .type = EXPR_BOOL, .yes = !yes };
    return true;
  case OP_IN:
  case OP_NOT_IN:
    return contains(v, n, out);
  case OP_ELSE:
    return value_of(v, n->kid[0], out) && (out->type != EXPR_NONE || value_of(v, n->kid[1], out));
  case OP_CHOOSE:
    return condition(v, n->kid[2], &yes) && value_of(v, n->kid[yes ? 0 : 1], out);
  case OP_ADD:
    return add(v, n, out);
  case OP_SUB:
  case OP_MUL:
  case OP_DIV:
  case OP_MOD:
    return arithmetic(v, n, out);
  case OP_MINUS:
    if (!typed(v, n->kid[0], EXPR_NUMBER, out))
      return false;
    if (out->number == INT64_MIN)
      expr_fail(v->e, n->at, NULL, "the result is too large for 64 bits");
    else
      out->number = -out->number;
    return !v->e->text;
  default:
    return compare(v, n, out);
  }
}

bool expr_eval(const struct expr *x, expr_get *get, void *ctx, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  struct eval v = { x, get, ctx, m, e };

  *e = (struct expr_error){ 0 };
  return value_of(&v, x->root, out);
}

void expr_show(const struct expr_value *v, struct buf *out)
{
  switch (v->type) {
  case EXPR_BOOL: buf_adds(out, v->yes ? "true" : "false"); break;
  case EXPR_NUMBER: buf_addf(out, "%" PRId64, v->number); break;
  case EXPR_TEXT: buf_add(out, v->text.s, v->text.len); break;
  case EXPR_LIST:
    for (int i = 0; i < v->list.n; i++) {
      if (i)
        buf_addc(out, ' ');
      expr_show(&v->list.v[i], out);
    }
    break;
  default: break;
  }
}
