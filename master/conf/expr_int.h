/* Between the files of expressions: the tree (expr_parse.c), its evaluation (expr_eval.c), the functions (expr_func.c). */
#ifndef MASTER_CONF_EXPR_INT_H
#define MASTER_CONF_EXPR_INT_H
#include "master/conf/expr.h"

enum { EXPR_KIDS_MAX = 3, EXPR_ARGS_MAX = 4 };

enum expr_op {
  OP_VALUE, OP_NAME, OP_LIST, OP_CALL,
  OP_OR, OP_AND, OP_NOT, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN, OP_NOT_IN,
  OP_ELSE, OP_CHOOSE, OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MOD, OP_MINUS
};

struct expr_function;
struct expr_node {
  enum expr_op op;
  enum expr_type type;
  int at;                         /* in the text */
  int kid[EXPR_KIDS_MAX];         /* numbers of nodes; of a list or a call: kid[0] is the first, next links them; of a ? : kid[2] is the condition */
  int next;                       /* 0: none */
  int n;                          /* items, arguments, parts of a name */
  struct expr_value value;        /* OP_VALUE */
  const char *path[EXPR_PATH_MAX]; /* OP_NAME */
  const struct expr_function *function;
};

struct expr {
  struct expr_node *node;         /* node[0] is not used */
  int n, cap, root;
  struct expr_memory *m;          /* of names and constants */
};

/* Keeps the first error. */
void expr_fail(struct expr_error *e, int at, const char *help, const char *fmt, ...) printf_like(4, 5);
const char *expr_type_name(enum expr_type t);

struct expr_function {
  const char *name, *usage, *doc;
  enum expr_type result;
  int least, most;                /* arguments */
  enum expr_type arg[EXPR_ARGS_MAX];
  bool takes_none;                /* arguments may be none */
  /* Arguments have their types. False: failed. */
  bool (*call)(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e);
};
const struct expr_function *expr_function_find(const char *name, size_t len);
extern const struct expr_function expr_function_table[];
extern const int expr_function_count;
#endif
