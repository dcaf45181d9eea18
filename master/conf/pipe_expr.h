/* Expressions in pipelines: compiled with the file, so that what is wrong with them is told with the file's other faults. */
#ifndef MASTER_CONF_PIPE_EXPR_H
#define MASTER_CONF_PIPE_EXPR_H
#include "master/conf/expr.h"
#include "master/conf/yaml.h"

/* A codebase that is named. */
struct pipe_codebase_use {
  const char *name;
  const struct yml_node *at; /* lives as long as the pipeline */
  int off;                   /* byte of its text */
};

/* Owner of what was compiled; all zero at first. */
struct pipe_exprs {
  struct expr **expr;
  struct interp **interp;
  struct pipe_codebase_use *uses;
  int nexprs, ninterps, nuses, cap_exprs, cap_interps, cap_uses;
};
/* For pipeline_check_codebases; name must live as long as own. */
void pipe_uses_codebase(struct pipe_exprs *own, const char *name, const struct yml_node *at, int off);
void pipe_exprs_free(struct pipe_exprs *own);

/* The names of names.def (a build's), of change_names.def, of time_names.def and of worker_names.def, each with a last row without a name. */
enum {
#define EXPR_NAME(name, type, doc) +1
  PIPE_NAMES_COUNT = 0
#include "master/conf/names.def"
  , WORKER_NAMES_COUNT = 0
#include "master/conf/worker_names.def"
#undef EXPR_NAME
};
extern const struct expr_name pipe_names[], change_names[], time_names[], worker_names[];

/* A diagnostic about a byte of the scalar's text. */
void pipe_tell(struct diags *d, const struct yml_node *n, int at, const char *help, const char *text);
/* names: what they may use. NULL: told. */
struct expr *pipe_condition(struct pipe_exprs *own, const struct expr_name *names, const struct yml_node *n, struct diags *d);
/* The same of an expression that makes a number. */
struct expr *pipe_number(struct pipe_exprs *own, const struct expr_name *names, const struct yml_node *n, struct diags *d);
/* NULL: there is no expression in it, or something is wrong with one (told). */
struct interp *pipe_text(struct pipe_exprs *own, const struct expr_name *names, const struct yml_node *n, struct diags *d);
bool pipe_has_expr(const struct yml_node *n); /* a scalar with `${{` in it */
/* The value of a text with expressions now, before there is a build: made of names with a value only. *type: of the value; *text: as it
   is shown. dry: names without a value are no error, then *type is EXPR_NONE. False: told. */
bool pipe_fixed(const struct expr_name *names, const struct yml_node *n, bool dry, struct buf *text, enum expr_type *type, struct diags *d) must_check;
#endif
