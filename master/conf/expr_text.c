/* From a tree back to text: with the values of names that were known, without brackets that change nothing. What it makes of a text reads as the same tree. */
#include <inttypes.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/expr_int.h"

/* How tightly an operator holds its operands; those of the parser. */
enum level { L_CHOOSE, L_OR, L_AND, L_NOT, L_COMPARE, L_ELSE, L_SUM, L_PRODUCT, L_MINUS, L_OPERAND };

static const struct {
  enum level level;
  const char *sign;
} ops[] = {
  [OP_VALUE] = { L_OPERAND, NULL }, [OP_NAME] = { L_OPERAND, NULL }, [OP_LIST] = { L_OPERAND, NULL }, [OP_CALL] = { L_OPERAND, NULL },
  [OP_OR] = { L_OR, "or" }, [OP_AND] = { L_AND, "and" }, [OP_NOT] = { L_NOT, NULL },
  [OP_EQ] = { L_COMPARE, "==" }, [OP_NE] = { L_COMPARE, "!=" }, [OP_LT] = { L_COMPARE, "<" }, [OP_LE] = { L_COMPARE, "<=" }, [OP_GT] = { L_COMPARE, ">" }, [OP_GE] = { L_COMPARE, ">=" },
  [OP_IN] = { L_COMPARE, "in" }, [OP_NOT_IN] = { L_COMPARE, "not in" },
  [OP_ELSE] = { L_ELSE, "??" }, [OP_CHOOSE] = { L_CHOOSE, NULL }, [OP_ADD] = { L_SUM, "+" }, [OP_SUB] = { L_SUM, "-" },
  [OP_MUL] = { L_PRODUCT, "*" }, [OP_DIV] = { L_PRODUCT, "/" }, [OP_MOD] = { L_PRODUCT, "%" }, [OP_MINUS] = { L_MINUS, NULL },
};

static void put(const struct expr *x, int node, enum level least, struct buf *out);

static void put_quoted(const char *s, size_t n, struct buf *out)
{
  static const char from[] = "\n\t\\\"", to[] = "nt\\\"";

  buf_addc(out, '"');
  for (size_t i = 0; i < n; i++) {
    const char *escape = s[i] ? strchr(from, s[i]) : NULL;
    if (escape)
      buf_addc(out, '\\');
    buf_addc(out, escape ? to[escape - from] : s[i]);
  }
  buf_addc(out, '"');
}

/* As people write it: 8G. */
static void put_number(int64_t n, struct buf *out)
{
  static const struct { int bits; char unit; } units[] = { { 40, 'T' }, { 30, 'G' }, { 20, 'M' } };

  for (size_t i = 0; i < COUNT(units); i++)
    if (n && !(n & ((INT64_C(1) << units[i].bits) - 1))) {
      buf_addf(out, "%" PRId64 "%c", n / (INT64_C(1) << units[i].bits), units[i].unit);
      return;
    }
  buf_addf(out, "%" PRId64, n);
}

static void put_value(const struct expr_value *v, struct buf *out)
{
  switch (v->type) {
  case EXPR_BOOL: buf_adds(out, v->yes ? "true" : "false"); break;
  case EXPR_NUMBER: put_number(v->number, out); break;
  case EXPR_TEXT: put_quoted(v->text.s, v->text.len, out); break;
  default: buf_adds(out, "none"); break; /* lists are no constants */
  }
}

static bool is_word(const char *s)
{
  return *s && !(*s >= '0' && *s <= '9') && !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")];
}

static void put_name(const struct expr_node *n, struct buf *out)
{
  buf_adds(out, n->path[0]);
  for (int i = 1; i < n->n; i++)
    if (is_word(n->path[i])) {
      buf_addf(out, ".%s", n->path[i]);
    } else {
      buf_addc(out, '[');
      put_quoted(n->path[i], strlen(n->path[i]), out);
      buf_addc(out, ']');
    }
}

static void put_items(const struct expr *x, const struct expr_node *n, struct buf *out)
{
  for (int k = n->kid[0]; k; k = x->node[k].next) {
    put(x, k, L_CHOOSE, out);
    if (x->node[k].next)
      buf_adds(out, ", ");
  }
}

static void put_operand(const struct expr *x, const struct expr_node *n, struct buf *out)
{
  if (n->op == OP_VALUE) {
    put_value(&n->value, out);
  } else if (n->op == OP_NAME) {
    put_name(n, out);
  } else {
    buf_addf(out, "%s%c", n->op == OP_CALL ? n->function->name : "", n->op == OP_CALL ? '(' : '[');
    put_items(x, n, out);
    buf_addc(out, n->op == OP_CALL ? ')' : ']');
  }
}

/* Operators of one level stand from left to right, but `??`; comparisons not at all without brackets. */
static void put_binary(const struct expr *x, const struct expr_node *n, enum level l, struct buf *out)
{
  put(x, n->kid[0], l == L_COMPARE || l == L_ELSE ? l + 1 : l, out);
  buf_addf(out, " %s ", ops[n->op].sign);
  put(x, n->kid[1], l == L_ELSE ? l : l + 1, out);
}

static enum level level_of(const struct expr_node *n)
{
  return n->op == OP_VALUE && n->type == EXPR_NUMBER && n->value.number < 0 ? L_MINUS : ops[n->op].level;
}

static void put(const struct expr *x, int node, enum level least, struct buf *out)
{
  const struct expr_node *n = &x->node[node];
  enum level l = level_of(n);
  bool brackets = l < least;

  if (brackets)
    buf_addc(out, '(');
  if (n->op == OP_CHOOSE) {
    put(x, n->kid[2], L_OR, out);
    buf_adds(out, " ? ");
    put(x, n->kid[0], L_OR, out);
    buf_adds(out, " : ");
    put(x, n->kid[1], L_OR, out);
  } else if (n->op == OP_NOT || n->op == OP_MINUS) {
    buf_adds(out, n->op == OP_NOT ? "not " : "-");
    put(x, n->kid[0], n->op == OP_NOT ? L_NOT : L_MINUS, out);
  } else if (ops[n->op].sign) {
    put_binary(x, n, l, out);
  } else {
    put_operand(x, n, out);
  }
  if (brackets)
    buf_addc(out, ')');
}

void expr_text(const struct expr *x, struct buf *out)
{
  put(x, x->root, L_CHOOSE, out);
}

static int count_terms(const struct expr *x, int node)
{
  const struct expr_node *n = &x->node[node];

  return n->op == OP_AND ? count_terms(x, n->kid[0]) + count_terms(x, n->kid[1]) : 1;
}

int expr_terms(const struct expr *x)
{
  return count_terms(x, x->root);
}

void expr_term_text(const struct expr *x, int i, struct buf *out)
{
  int node = x->root;

  while (x->node[node].op == OP_AND) {
    int left = count_terms(x, x->node[node].kid[0]);
    node = x->node[node].kid[i >= left];
    i -= i >= left ? left : 0;
  }
  put(x, node, L_OR, out);
}

bool expr_limit(const struct expr *x, struct expr_limit *l)
{
  const struct expr_node *n = &x->node[x->root], *name, *value;
  bool turned;

  if (n->op < OP_EQ || n->op > OP_GE)
    return false;
  turned = x->node[n->kid[0]].op == OP_VALUE;
  name = &x->node[n->kid[turned]];
  value = &x->node[n->kid[!turned]];
  if (name->op != OP_NAME || name->n != 1 || value->op != OP_VALUE || (value->type != EXPR_NUMBER && value->type != EXPR_TEXT))
    return false;
  l->name = name->path[0];
  l->number = value->type == EXPR_NUMBER;
  l->least = l->number && (turned ? n->op == OP_LT || n->op == OP_LE : n->op == OP_GT || n->op == OP_GE);
  l->most = l->number && (turned ? n->op == OP_GT || n->op == OP_GE : n->op == OP_LT || n->op == OP_LE);
  return true;
}
