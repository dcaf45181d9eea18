/* The values of names in a step's expressions (master/conf/names.def), from its build. */
#ifndef MASTER_STEPS_VALUES_H
#define MASTER_STEPS_VALUES_H
#include <cjson/cJSON.h>

#include "master/conf/expr.h"
#include "master/steps/step.h"

/* All of them, those that its steps reported over the others: an object, the caller deletes it. */
cJSON *step_properties(const struct build_ctx *c) must_check;
/* A property of the build; NULL: it has none of that name. The caller deletes it. */
cJSON *step_property(const struct build_ctx *c, const char *name) must_check;
/* ctx: a struct build_ctx. */
bool step_value(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out);
/* text, or what its expressions make of it, into out's spec: as "KEY value" or, with a name, as "KEY name=value". False: *out is the step's end, an exception that says which
   expression has no value. */
bool step_put_text(const struct build_ctx *c, struct intent *out, const char *key, const char *name, const char *text, const struct interp *t) must_check;
/* The environment of the step's definition. */
bool step_put_env(const struct step *s, struct intent *out) must_check;
/* Of it only what says which proxy leads to servers. */
bool step_put_proxies(const struct step *s, struct intent *out) must_check;
#endif
