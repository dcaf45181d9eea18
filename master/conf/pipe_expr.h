/* Expressions in pipelines: compiled with the file, so that what is wrong with them is told with the file's other faults. */
#ifndef MASTER_CONF_PIPE_EXPR_H
#define MASTER_CONF_PIPE_EXPR_H
#include "master/conf/expr.h"
#include "master/conf/yaml.h"

/* Owner of what was compiled; all zero at first. */
struct pipe_exprs {
  struct expr **expr;
  struct interp **interp;
  int nexprs, ninterps;
};
void pipe_exprs_free(struct pipe_exprs *own);

/* The names of names.def. */
extern const struct expr_name pipe_names[];

/* A diagnostic about a byte of the scalar's text. */
void pipe_tell(struct diags *d, const struct yml_node *n, int at, const char *help, const char *text);
/* NULL: told. */
struct expr *pipe_condition(struct pipe_exprs *own, const struct yml_node *n, struct diags *d);
/* NULL: there is no expression in it, or something is wrong with one (told). */
struct interp *pipe_text(struct pipe_exprs *own, const struct yml_node *n, struct diags *d);
#endif
