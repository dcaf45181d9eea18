/* From a scalar of the file to an expression, and from a byte of the expression back to a column of the file. */
#include "master/conf/pipe_expr.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

#define EXPR_NAME(name, type, doc) { name, EXPR_##type, doc, NULL },
const struct expr_name pipe_names[] = {
#include "master/conf/names.def"
  { NULL, EXPR_NONE, NULL, NULL },
};
const struct expr_name change_names[] = {
#include "master/conf/change_names.def"
  { NULL, EXPR_NONE, NULL, NULL },
};
const struct expr_name time_names[] = {
#include "master/conf/time_names.def"
  { NULL, EXPR_NONE, NULL, NULL },
};
const struct expr_name worker_names[] = {
#include "master/conf/worker_names.def"
  { NULL, EXPR_NONE, NULL, NULL },
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

void pipe_uses_codebase(struct pipe_exprs *own, const char *name, const struct yml_node *at, int off)
{
  if (own->nuses == own->cap_uses) {
    own->cap_uses = own->cap_uses ? own->cap_uses * 2 : 8;
    own->uses = xrealloc(own->uses, (size_t)own->cap_uses * sizeof *own->uses);
  }
  own->uses[own->nuses++] = (struct pipe_codebase_use){ name, at, off };
}

/* off: of the expression in the node's text. */
static void note_codebases(struct pipe_exprs *own, const struct expr *x, const struct yml_node *n, int off)
{
  const char *const *path;
  int parts, at;

  for (int i = 0; expr_each_name(x, &i, &path, &parts, &at);)
    if (parts == 3 && !strcmp(path[0], "stamps"))
      pipe_uses_codebase(own, path[1], n, off + at);
}

static struct expr *compile(struct pipe_exprs *own, const struct expr_name *names, const struct yml_node *n, enum expr_type wants, struct diags *d)
{
  struct expr_error e;
  struct expr *x;

  if (n->kind != YML_SCALAR || yml_is_null(n))
    return NULL; /* the check has told */
  x = expr_parse(n->text, strlen(n->text), names, wants, &e);
  if (!x) {
    tell(n, &e, d);
    return NULL;
  }
  if (own->nexprs == own->cap_exprs) {
    own->cap_exprs = own->cap_exprs ? own->cap_exprs * 2 : 8;
    own->expr = xrealloc(own->expr, (size_t)own->cap_exprs * sizeof(struct expr *));
  }
  note_codebases(own, x, n, 0);
  return own->expr[own->nexprs++] = x;
}

struct expr *pipe_condition(struct pipe_exprs *own, const struct expr_name *names, const struct yml_node *n, struct diags *d)
{
  return compile(own, names, n, EXPR_BOOL, d);
}

struct expr *pipe_number(struct pipe_exprs *own, const struct expr_name *names, const struct yml_node *n, struct diags *d)
{
  return compile(own, names, n, EXPR_NUMBER, d);
}

struct interp *pipe_text(struct pipe_exprs *own, const struct expr_name *names, const struct yml_node *n, struct diags *d)
{
  struct expr_error e;
  struct interp *t;
  int i = 0, at;

  if (!pipe_has_expr(n))
    return NULL;
  t = interp_parse(n->text, strlen(n->text), names, &e);
  if (!t) {
    tell(n, &e, d);
    return NULL;
  }
  if (own->ninterps == own->cap_interps) {
    own->cap_interps = own->cap_interps ? own->cap_interps * 2 : 8;
    own->interp = xrealloc(own->interp, (size_t)own->cap_interps * sizeof(struct interp *));
  }
  for (const struct expr *x; (x = interp_each(t, &i, &at));)
    note_codebases(own, x, n, at);
  return own->interp[own->ninterps++] = t;
}

bool pipe_has_expr(const struct yml_node *n)
{
  return n->kind == YML_SCALAR && strstr(n->text, "${{");
}

/* No name has a value yet; the first that is asked for. */
static bool get_nothing(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  char **asked = ctx;

  (void)m, (void)out;
  if (!*asked)
    *asked = n > 1 ? xasprintf("%s.%s", path[0], path[1]) : xstrdup(path[0]);
  return false;
}

bool pipe_fixed(const struct expr_name *names, const struct yml_node *n, bool dry, struct buf *text, enum expr_type *type, struct diags *d)
{
  struct expr_error e;
  struct interp *t = interp_parse(n->text, strlen(n->text), names, &e);
  struct expr_memory *m;
  struct expr_value v;
  char *asked = NULL;
  bool ok;

  *type = EXPR_NONE;
  if (!t) {
    tell(n, &e, d);
    return false;
  }
  m = expr_memory_new();
  ok = interp_eval(t, get_nothing, &asked, m, &v, &e);
  if (asked && dry) {
    ok = true;
  } else if (asked) {
    diag_add(d, n->doc->file, n->doc->text, n->line, n->column, "here it can be made of `matrix` and of a template's parameters", "what \"%s\" is will be known when the build runs", asked);
    ok = false;
  } else if (!ok) {
    tell(n, &e, d);
  } else {
    *type = v.type;
    expr_show(&v, text); /* now: constants belong to the tree */
  }
  expr_error_free(&e);
  expr_memory_free(m);
  free(asked);
  interp_free(t);
  return ok;
}

void pipe_exprs_free(struct pipe_exprs *own)
{
  for (int i = 0; i < own->nexprs; i++)
    expr_free(own->expr[i]);
  for (int i = 0; i < own->ninterps; i++)
    interp_free(own->interp[i]);
  free(own->expr);
  free(own->interp);
  free(own->uses);
}
