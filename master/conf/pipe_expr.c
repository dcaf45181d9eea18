/* From a scalar of the file to an expression, and from a byte of the expression back to a column of the file. */
#include "master/conf/pipe_expr.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

#define EXPR_NAME(name, type, doc) { name, EXPR_##type, doc },
const struct expr_name pipe_names[] = {
#include "master/conf/names.def"
  { NULL, EXPR_NONE, NULL },
};
#undef EXPR_NAME

/* The column of a byte of the scalar's text, where that can be told: a text of one line without escapes. Else the scalar's own place. */
static int column_of(const struct yml_node *n, int at)
{
  int chars = 0;

  if (strpbrk(n->text, n->plain ? "\n" : "\n\"'\\\t"))
    return n->column;
  for (int i = 0; i < at; chars++) {
    size_t len = str_utf8(n->text + i, strlen(n->text + i), NULL);
    i += len ? (int)len : 1;
  }
  return n->column + chars + !n->plain;
}

void pipe_tell(struct diags *d, const struct yml_node *n, int at, const char *help, const char *text)
{
  diag_add(d, n->doc->file, n->doc->text, n->line, column_of(n, at), help, "%s", text);
}

static void tell(const struct yml_node *n, struct expr_error *e, struct diags *d)
{
  pipe_tell(d, n, e->at, e->help, e->text);
  expr_error_free(e);
}

struct expr *pipe_condition(struct pipe_exprs *own, const struct yml_node *n, struct diags *d)
{
  struct expr_error e;
  struct expr *x;

  if (n->kind != YML_SCALAR || yml_is_null(n))
    return NULL; /* the check has told */
  x = expr_parse(n->text, strlen(n->text), pipe_names, EXPR_BOOL, &e);
  if (!x) {
    tell(n, &e, d);
    return NULL;
  }
  own->expr = xrealloc(own->expr, (size_t)(own->nexprs + 1) * sizeof(struct expr *));
  return own->expr[own->nexprs++] = x;
}

struct interp *pipe_text(struct pipe_exprs *own, const struct yml_node *n, struct diags *d)
{
  struct expr_error e;
  struct interp *t;

  if (n->kind != YML_SCALAR || !strstr(n->text, "${{"))
    return NULL;
  t = interp_parse(n->text, strlen(n->text), pipe_names, &e);
  if (!t) {
    tell(n, &e, d);
    return NULL;
  }
  own->interp = xrealloc(own->interp, (size_t)(own->ninterps + 1) * sizeof(struct interp *));
  return own->interp[own->ninterps++] = t;
}

void pipe_exprs_free(struct pipe_exprs *own)
{
  for (int i = 0; i < own->nexprs; i++)
    expr_free(own->expr[i]);
  for (int i = 0; i < own->ninterps; i++)
    interp_free(own->interp[i]);
  free(own->expr);
  free(own->interp);
}
