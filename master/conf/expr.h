/* The expression language of configurations: `branch == "main" and memory >= 8G`. Pure, typed, without loops; whatever the text is, reading and evaluating it end in bounded time and memory.

     or  and  not          of conditions; the right side is not looked at where the left decides
     == != < <= > >=       numbers with numbers, texts with texts; == and != also with none
     x in list  x not in y a list or a text that holds it
     a ?? b                b where a is none: defaults and alternatives
     c ? a : b
     + - * / %             of numbers; + also puts texts end to end
     name  name.member  name["member"]  f(x, …)  [a, b]  "text"  'text'  12  8G  30m  true  false  none

   Numbers are whole, 64 bits, and overflow is an error. K M G T multiply by 1024 and so on; ms s m h d make milliseconds. A name without a value is none. In a condition none is false;
   text and numbers are no conditions: that is an error, found when the text is read wherever the types are known then. */
#ifndef MASTER_CONF_EXPR_H
#define MASTER_CONF_EXPR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define EXPR_TEXT_MAX 4096       /* bytes of an expression */
#define EXPR_NODES_MAX 1024      /* operators, operands */
#define EXPR_DEPTH_MAX 64        /* of brackets and operators within each other */
#define EXPR_PATH_MAX 4          /* a.b.c.d */
#define EXPR_RESULT_MAX (64u << 10) /* bytes of a text that is made */

enum expr_type { EXPR_NONE, EXPR_BOOL, EXPR_NUMBER, EXPR_TEXT, EXPR_LIST, EXPR_ANY /* known when it is evaluated; no value has it */ };

struct expr_value {
  enum expr_type type;
  union {
    bool yes;
    int64_t number;
    struct { const char *s; size_t len; } text; /* need not end in NUL */
    struct { const struct expr_value *v; int n; } list;
  };
};

/* The names that an expression may use: a table that ends with a NULL name. A row "matrix.*" allows any member, "stamps.*.branch" this one of any, "branch" is itself. */
struct expr_name {
  const char *name;
  enum expr_type type;
  const char *doc;
  const struct expr_value *value; /* known when the text is read: it stands there like a constant (a text, number, true or false); or NULL */
};

struct expr;
struct expr_error {
  int at;                        /* byte of the text, from 0 */
  char *text, *help;             /* for people; help may be NULL. Freed by expr_error_free */
};
void expr_error_free(struct expr_error *e);

/* wants: the type that the result must have (EXPR_ANY: whatever). NULL: *e tells. The text is copied. */
struct expr *expr_parse(const char *text, size_t len, const struct expr_name *names, enum expr_type wants, struct expr_error *e) must_check;
void expr_free(struct expr *x);  /* NULL: nothing */
enum expr_type expr_result(const struct expr *x); /* as far as it is known without values */
/* Its names, one after the other: *i 0 at first; false: no more. *at: the byte of the text. */
bool expr_each_name(const struct expr *x, int *i, const char *const **path, int *n, int *at) must_check;

/* Memory of an evaluation: what results point into, beside the expression or text itself (its constants) and what names have. */
struct expr_memory;
struct expr_memory *expr_memory_new(void) must_check;
void expr_memory_free(struct expr_memory *m);
void *expr_take(struct expr_memory *m, size_t n) must_check;

/* The value of a name: path[0] … path[n-1] are its parts. False: it has none. What it points to must live as long as m. */
typedef bool expr_get(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out);
/* False: *e tells (a name without a value where one is needed, a division by zero …). */
bool expr_eval(const struct expr *x, expr_get *get, void *ctx, struct expr_memory *m, struct expr_value *out, struct expr_error *e) must_check;
/* As a condition: none is false. */
bool expr_true(const struct expr_value *v);
/* As it stands in a text: numbers in decimal, true, false, lists by one blank, none as nothing. */
void expr_show(const struct expr_value *v, struct buf *out);

/* As it could be written: names whose value was known are constants. Reads as the same tree again. */
void expr_text(const struct expr *x, struct buf *out);
/* What must all be true for it to be true: the operands of `and` at its top, 1 or more; and the text of each, from 0. */
int expr_terms(const struct expr *x);
void expr_term_text(const struct expr *x, int i, struct buf *out);
/* Whether it compares one name with a constant text or number. least, most: the number is the least, the most that will do. name lives as long as x. */
struct expr_limit {
  const char *name;
  bool number, least, most;
};
bool expr_limit(const struct expr *x, struct expr_limit *l);

/* A text with `${{ expression }}` in it. `$${{` stands for `${{`. Where the text is nothing but one expression its value keeps its type. */
struct interp;
struct interp *interp_parse(const char *text, size_t len, const struct expr_name *names, struct expr_error *e) must_check;
void interp_free(struct interp *t);
bool interp_is_plain(const struct interp *t); /* no expression in it */
/* Its expressions, one after the other: *i 0 at first; NULL: no more. *at: where in the text each begins. */
const struct expr *interp_each(const struct interp *t, int *i, int *at) must_check;
/* Where a name in the text has no value and no `??` behind it, that is an error and not an empty piece. */
bool interp_eval(const struct interp *t, expr_get *get, void *ctx, struct expr_memory *m, struct expr_value *out, struct expr_error *e) must_check;

/* The functions, for the manual: v all zero at first; false at the end. */
struct expr_function_view {
  const char *name, *usage, *doc;
};
bool expr_functions(size_t *at, struct expr_function_view *v);
#endif
