/* Builders that need those of other projects: what can be known of that before anything is built. */
#ifndef MASTER_CONF_CONF_NEEDS_H
#define MASTER_CONF_CONF_NEEDS_H
#include "common/mem.h"
#include "master/conf/diag.h"

struct conf;
struct pipeline;

/* Why a builder of `project` can't need `builder` (of a matrix all combinations, or one) of `other`: a sentence that the caller frees, NULL: it can, as far as the configuration knows (a pipeline in
   a repository says more when it is read). */
char *conf_need_refused(const struct conf *c, const char *project, const char *other, const char *builder) must_check;
/* The same of a step of `project` that triggers it. */
char *conf_trigger_refused(const struct conf *c, const char *project, const char *other, const char *builder) must_check;
/* All needs of the project's pipeline, and all that its steps trigger. */
void conf_check_needs(const struct conf *c, const char *project, const struct pipeline *p, struct diags *d);
#endif
