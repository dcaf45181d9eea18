/* From text to a tree whose types are known: one function for each level of binding, the loosest first. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/expr_words.h"

static int parse_choice(struct parser *p);

/* ---- errors ---- */

static int fail_type(struct parser *p, int node, const char *wanted)
{
  char *what = xasprintf("this is %s, and %s is wanted", expr_type_name(p->x->node[node].type), wanted);

  expr_stop(p, p->x->node[node].at, NULL, what);
  free(what);
  return 0;
}

/* ---- the tree ---- */

static int add(struct parser *p, enum expr_op op, enum expr_type type, int at)
{
  struct expr *x = p->x;

  if (x->n == EXPR_NODES_MAX)
    return expr_stop(p, at, "split it into several steps or properties", "the expression has too many parts");
  if (x->n == x->cap) {
    x->cap *= 2;
    x->node = xrealloc(x->node, (size_t)x->cap * sizeof *x->node);
  }
  x->node[x->n] = (struct expr_node){ .op = op, .type = type, .at = at };
  return x->n++;
}

static enum expr_type type_of(const struct parser *p, int node)
{
  return p->x->node[node].type;
}

/* Where the type is known it must be this one; none is left to the evaluation. */
static bool must_be(struct parser *p, int node, enum expr_type t, const char *wanted)
{
  enum expr_type is_type;

  if (p->failed)
    return false;
  is_type = type_of(p, node);
  if (is_type == t || is_type == EXPR_ANY || t == EXPR_ANY)
    return true;
  fail_type(p, node, wanted);
  return false;
}

static bool must_be_condition(struct parser *p, int node)
{
  enum expr_type t = type_of(p, node);

  if (p->failed)
    return false;
  if (t == EXPR_TEXT || t == EXPR_NUMBER || t == EXPR_LIST) {
    char *what = xasprintf("a condition is true or false, and this is %s", expr_type_name(t));
    expr_stop(p, p->x->node[node].at, "compare it: ==, !=, in, <, >", what);
    free(what);
    return false;
  }
  return true;
}

static int unary(struct parser *p, enum expr_op op, enum expr_type type, int at, int a)
{
  int node = p->failed ? 0 : add(p, op, type, at);

  p->x->node[node].kid[0] = a;
  return node;
}

static int binary(struct parser *p, enum expr_op op, enum expr_type type, int at, int a, int b)
{
  int node = p->failed ? 0 : add(p, op, type, at);

  p->x->node[node].kid[0] = a;
  p->x->node[node].kid[1] = b;
  return node;
}

/* ---- operands ---- */

static int constant(struct parser *p, struct expr_value v, int at)
{
  int node = add(p, OP_VALUE, v.type, at);

  p->x->node[node].value = v;
  expr_next(p);
  return node;
}

static const char *word_copy(struct parser *p, int at, int end)
{
  char *s = expr_take(p->x->m, (size_t)(end - at) + 1);

  memcpy(s, p->text + at, (size_t)(end - at));
  s[end - at] = 0;
  return s;
}

static const char *nearest(const struct parser *p, const char *name)
{
  const char *best = NULL;
  unsigned least = 3;

  for (const struct expr_name *it = p->names; it && it->name; it++)
    if (str_distance(name, it->name) < least) {
      least = str_distance(name, it->name);
      best = it->name;
    }
  return best;
}

/* A row with a star in its middle, part by part. */
static bool fits_parts(const char *row, const struct expr_node *it)
{
  for (int i = 0; i < it->n; i++) {
    size_t n = strcspn(row, ".");
    if (!n || ((n != 1 || *row != '*') && (strlen(it->path[i]) != n || strncmp(it->path[i], row, n))) || !*it->path[i])
      return false;
    row += n;
    row += *row == '.';
  }
  return !*row;
}

/* The row of the table that allows this name. */
static const struct expr_name *known(const struct parser *p, const struct expr_node *node, const char *whole)
{
  for (const struct expr_name *it = p->names; it && it->name; it++) {
    size_t n = strlen(it->name);
    if (!strcmp(it->name, whole) || (n > 2 && !strcmp(it->name + n - 2, ".*") && !strncmp(it->name, whole, n - 1) && whole[n - 1]))
      return it;
    if (strstr(it->name, ".*.") && fits_parts(it->name, node))
      return it;
  }
  return NULL;
}

/* A name whose value is known already is a constant from here on. */
static void put_known(struct parser *p, struct expr_node *it, const struct expr_value *v)
{
  it->op = OP_VALUE;
  it->type = v->type;
  it->value = *v;
  if (v->type != EXPR_TEXT)
    return;
  it->value.text.s = expr_take(p->x->m, v->text.len + 1);
  memcpy((char *)(uintptr_t)it->value.text.s, v->text.s, v->text.len);
}

static int check_name(struct parser *p, int node)
{
  struct expr_node *it = &p->x->node[node];
  const struct expr_name *row;
  struct buf whole;

  buf_init(&whole, BUF_NO_MAX);
  for (int i = 0; i < it->n; i++) {
    if (i)
      buf_addc(&whole, '.');
    buf_adds(&whole, it->path[i]);
  }
  row = known(p, it, buf_str(&whole));
  if (row && row->value) {
    put_known(p, it, row->value);
  } else if (row) {
    it->type = row->type;
  } else {
    const char *near = nearest(p, buf_str(&whole));
    char *what = xasprintf("there is no \"%s\" here", buf_str(&whole)), *help = near ? xasprintf("did you mean \"%s\"?", near) : NULL;
    expr_stop(p, it->at, help, what);
    free(what);
    free(help);
  }
  buf_free(&whole);
  return node;
}

/* .member and ["member"] */
static int parse_path(struct parser *p, int node)
{
  while (!p->failed && (expr_is(p, ".") || expr_is(p, "["))) {
    bool dot = expr_is(p, ".");
    struct expr_node *it = &p->x->node[node];
    expr_next(p);
    if (p->failed)
      break;
    if (it->n == EXPR_PATH_MAX || p->word != (dot ? W_NAME : W_TEXT))
      return expr_stop(p, p->at, NULL, it->n == EXPR_PATH_MAX ? "a name has too many parts" : dot ? "behind the dot stands a name" : "in the brackets stands a text");
    it->path[it->n++] = dot ? word_copy(p, p->at, p->end) : p->string;
    if (!dot && strlen(p->string) != p->string_len)
      return expr_stop(p, p->at, NULL, "a name has no NUL in it");
    expr_next(p);
    if (!dot)
      expr_want(p, "]", "the bracket [ is not closed");
  }
  return p->failed ? 0 : check_name(p, node);
}

static int check_call(struct parser *p, int node)
{
  const struct expr_node *it = &p->x->node[node];
  const struct expr_function *f = it->function;
  int i = 0;

  if (it->n < f->least || it->n > f->most) {
    char *what = xasprintf("%s takes %d%s argument%s", f->name, f->least, f->most > f->least ? " or more" : "", f->most == 1 ? "" : "s");
    expr_stop(p, it->at, f->usage, what);
    free(what);
    return 0;
  }
  for (int k = it->kid[0]; k; k = p->x->node[k].next, i++)
    if (!must_be(p, k, f->arg[i], expr_type_name(f->arg[i])))
      return 0;
  return node;
}

/* Items up to the closing sign, linked. */
static void parse_items(struct parser *p, int node, const char *close)
{
  int last = 0;

  while (!p->failed && !expr_is(p, close)) {
    int item = parse_choice(p);
    if (p->failed)
      return;
    if (last)
      p->x->node[last].next = item;
    else
      p->x->node[node].kid[0] = item;
    last = item;
    p->x->node[node].n++;
    if (!expr_is(p, close) && !expr_take_word(p, ","))
      expr_stop(p, p->at, NULL, *close == ')' ? "a comma or ) should stand here" : "a comma or ] should stand here");
  }
  expr_next(p);
}

static int parse_name(struct parser *p)
{
  int at = p->at, end = p->end, node;

  if (expr_is(p, "true") || expr_is(p, "false"))
    return constant(p, (struct expr_value){ .type = EXPR_BOOL, .yes = expr_is(p, "true") }, at);
  if (expr_is(p, "none"))
    return constant(p, (struct expr_value){ .type = EXPR_NONE }, at);
  if (expr_is(p, "and") || expr_is(p, "or") || expr_is(p, "in"))
    return expr_stop(p, at, NULL, "a value should stand before this");
  expr_next(p);
  if (p->failed)
    return 0;
  if (!expr_is(p, "(")) {
    node = add(p, OP_NAME, EXPR_ANY, at);
    p->x->node[node].path[0] = word_copy(p, at, end);
    p->x->node[node].n = 1;
    return parse_path(p, node);
  }
  node = add(p, OP_CALL, EXPR_ANY, at);
  p->x->node[node].function = expr_function_find(p->text + at, (size_t)(end - at));
  if (!p->x->node[node].function)
    return expr_stop(p, at, NULL, "there is no such function");
  p->x->node[node].type = p->x->node[node].function->result;
  expr_next(p);
  parse_items(p, node, ")");
  return p->failed ? 0 : check_call(p, node);
}

static int parse_operand(struct parser *p)
{
  int at = p->at, node;

  switch (p->word) {
  case W_NUMBER:
    return constant(p, (struct expr_value){ .type = EXPR_NUMBER, .number = p->number }, at);
  case W_TEXT:
    return constant(p, (struct expr_value){ .type = EXPR_TEXT, .text = { p->string, p->string_len } }, at);
  case W_NAME:
    return parse_name(p);
  case W_END:
    return expr_stop(p, at, NULL, "the expression ends where a value should stand");
  default:
    break;
  }
  if (expr_take_word(p, "(")) {
    node = parse_choice(p);
    expr_want(p, ")", "the bracket ( is not closed");
    return node;
  }
  if (expr_take_word(p, "[")) {
    node = add(p, OP_LIST, EXPR_LIST, at);
    parse_items(p, node, "]");
    return node;
  }
  return expr_stop(p, at, NULL, "a value should stand here");
}

/* ---- operators, from the tightest ---- */

static bool deeper(struct parser *p)
{
  if (++p->depth <= EXPR_DEPTH_MAX)
    return true;
  expr_stop(p, p->at, NULL, "too many brackets and operators within each other");
  return false;
}

static int parse_minus(struct parser *p)
{
  int at = p->at, a;

  if (!expr_is(p, "-"))
    return parse_operand(p);
  if (!deeper(p))
    return 0;
  expr_next(p);
  a = parse_minus(p);
  p->depth--;
  return must_be(p, a, EXPR_NUMBER, "a number") ? unary(p, OP_MINUS, EXPR_NUMBER, at, a) : 0;
}

struct sign {
  const char *text;
  enum expr_op op;
};

static const struct sign *find_sign(const struct parser *p, const struct sign *table)
{
  for (; table->text; table++)
    if (expr_is(p, table->text))
      return table;
  return NULL;
}

static int parse_product(struct parser *p)
{
  static const struct sign signs[] = { { "*", OP_MUL }, { "/", OP_DIV }, { "%", OP_MOD }, { NULL, 0 } };
  const struct sign *s;
  int a = parse_minus(p);

  while (!p->failed && (s = find_sign(p, signs))) {
    int at = p->at, b;
    expr_next(p);
    b = parse_minus(p);
    if (!must_be(p, a, EXPR_NUMBER, "a number") || !must_be(p, b, EXPR_NUMBER, "a number"))
      return 0;
    a = binary(p, s->op, EXPR_NUMBER, at, a, b);
  }
  return a;
}

static int parse_sum(struct parser *p)
{
  static const struct sign signs[] = { { "+", OP_ADD }, { "-", OP_SUB }, { NULL, 0 } };
  const struct sign *s;
  int a = parse_product(p);

  while (!p->failed && (s = find_sign(p, signs))) {
    int at = p->at, b;
    enum expr_type t = EXPR_NUMBER;
    expr_next(p);
    b = parse_product(p);
    if (p->failed)
      return 0;
    if (s->op == OP_ADD && (type_of(p, a) == EXPR_TEXT || type_of(p, b) == EXPR_TEXT))
      t = EXPR_TEXT;
    else if (s->op == OP_ADD && type_of(p, a) == EXPR_ANY && type_of(p, b) == EXPR_ANY)
      t = EXPR_ANY;
    if (t != EXPR_ANY && (!must_be(p, a, t, t == EXPR_TEXT ? "a text" : "a number") || !must_be(p, b, t, t == EXPR_TEXT ? "a text" : "a number")))
      return 0;
    a = binary(p, s->op, t, at, a, b);
  }
  return a;
}

static int parse_else(struct parser *p)
{
  int a = parse_sum(p), at = p->at, b;

  if (p->failed || !expr_is(p, "??"))
    return a;
  if (!deeper(p))
    return 0;
  expr_next(p);
  b = parse_else(p);
  p->depth--;
  if (p->failed)
    return 0;
  return binary(p, OP_ELSE, type_of(p, a) == type_of(p, b) || type_of(p, a) == EXPR_NONE ? type_of(p, b) : EXPR_ANY, at, a, b);
}

static bool comparable(struct parser *p, enum expr_op op, int a, int b)
{
  enum expr_type ta = type_of(p, a), tb = type_of(p, b);
  char *what;

  if (op == OP_IN || op == OP_NOT_IN) {
    if (tb == EXPR_LIST || tb == EXPR_ANY)
      return true;
    return tb == EXPR_TEXT ? must_be(p, a, EXPR_TEXT, "a text") : (fail_type(p, b, "a list or a text"), false);
  }
  if (ta == EXPR_ANY || tb == EXPR_ANY)
    return true;
  if (op == OP_EQ || op == OP_NE ? ta == tb || ta == EXPR_NONE || tb == EXPR_NONE : ta == tb && (ta == EXPR_NUMBER || ta == EXPR_TEXT))
    return true;
  what = xasprintf("%s can't be compared with %s", expr_type_name(ta), expr_type_name(tb));
  expr_stop(p, p->x->node[b].at, NULL, what);
  free(what);
  return false;
}

static int parse_comparison(struct parser *p)
{
  static const struct sign signs[] = { { "==", OP_EQ }, { "!=", OP_NE }, { "<", OP_LT }, { "<=", OP_LE }, { ">", OP_GT }, { ">=", OP_GE }, { "in", OP_IN }, { "not", OP_NOT_IN }, { NULL, 0 } };
  const struct sign *s;
  int a = parse_else(p), at = p->at, b;

  if (p->failed)
    return 0;
  if (expr_is(p, "="))
    return expr_stop(p, at, "write ==", "a single = makes no sense");
  s = find_sign(p, signs);
  if (!s)
    return a;
  expr_next(p);
  if (s->op == OP_NOT_IN)
    expr_want(p, "in", "behind \"not\" stands \"in\"");
  b = parse_else(p);
  if (p->failed || !comparable(p, s->op, a, b))
    return 0;
  if (find_sign(p, signs))
    return expr_stop(p, p->at, "write `a < b and b < c`", "comparisons can't be put in a row");
  return binary(p, s->op, EXPR_BOOL, at, a, b);
}

static int parse_not(struct parser *p)
{
  int at = p->at, a;

  if (!expr_is(p, "not"))
    return parse_comparison(p);
  if (!deeper(p))
    return 0;
  expr_next(p);
  a = parse_not(p);
  p->depth--;
  return !p->failed && must_be_condition(p, a) ? unary(p, OP_NOT, EXPR_BOOL, at, a) : 0;
}

static int parse_and(struct parser *p)
{
  int a = parse_not(p);

  while (!p->failed && expr_is(p, "and")) {
    int at = p->at, b;
    expr_next(p);
    b = parse_not(p);
    if (p->failed || !must_be_condition(p, a) || !must_be_condition(p, b))
      return 0;
    a = binary(p, OP_AND, EXPR_BOOL, at, a, b);
  }
  return a;
}

static int parse_or(struct parser *p)
{
  int a = parse_and(p);

  while (!p->failed && expr_is(p, "or")) {
    int at = p->at, b;
    expr_next(p);
    b = parse_and(p);
    if (p->failed || !must_be_condition(p, a) || !must_be_condition(p, b))
      return 0;
    a = binary(p, OP_OR, EXPR_BOOL, at, a, b);
  }
  return a;
}

/* c ? a : b, the loosest. Also the one place at which brackets come round: the depth is counted here. */
static int parse_choice(struct parser *p)
{
  int c, at, a, b, node;

  if (!deeper(p))
    return 0;
  c = parse_or(p);
  at = p->at;
  if (!p->failed && expr_take_word(p, "?")) {
    a = parse_choice(p);
    expr_want(p, ":", "behind `c ? a` stands `: b`");
    b = p->failed ? 0 : parse_choice(p);
    if (p->failed || !must_be_condition(p, c))
      return 0;
    node = binary(p, OP_CHOOSE, type_of(p, a) == type_of(p, b) ? type_of(p, a) : EXPR_ANY, at, a, b);
    p->x->node[node].kid[2] = c;
    c = node;
  }
  p->depth--;
  return p->failed ? 0 : c;
}

struct expr *expr_parse(const char *text, size_t len, const struct expr_name *names, enum expr_type wants, struct expr_error *e)
{
  struct parser p = { .text = text, .len = (int)len, .names = names, .e = e };

  *e = (struct expr_error){ 0 };
  if (len > EXPR_TEXT_MAX) {
    expr_fail(e, 0, NULL, "an expression has at most %d bytes, this has %zu", EXPR_TEXT_MAX, len);
    return NULL;
  }
  p.x = xcalloc(1, sizeof *p.x);
  p.x->cap = 4; /* most are one name */
  p.x->node = xcalloc((size_t)p.x->cap, sizeof *p.x->node);
  p.x->n = 1;
  p.x->m = expr_memory_new();
  expr_next(&p);
  p.x->root = parse_choice(&p);
  if (!p.failed && p.word != W_END)
    expr_stop(&p, p.at, NULL, "the expression should end here");
  if (!p.failed && wants == EXPR_BOOL)
    (void)must_be_condition(&p, p.x->root);
  else if (!p.failed)
    (void)must_be(&p, p.x->root, wants, expr_type_name(wants));
  if (!p.failed) {
    p.x->node = xrealloc(p.x->node, (size_t)p.x->n * sizeof *p.x->node);
    return p.x;
  }
  expr_free(p.x);
  return NULL;
}

void expr_free(struct expr *x)
{
  if (!x)
    return;
  expr_memory_free(x->m);
  free(x->node);
  free(x);
}

bool expr_each_name(const struct expr *x, int *i, const char *const **path, int *n, int *at)
{
  while (++*i < x->n) {
    const struct expr_node *it = &x->node[*i];
    if (it->op != OP_NAME)
      continue;
    *path = it->path;
    *n = it->n;
    *at = it->at;
    return true;
  }
  return false;
}

enum expr_type expr_result(const struct expr *x)
{
  return x->node[x->root].type;
}
