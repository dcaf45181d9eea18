/* Secrets as the site declares them: where their bytes are, and who may take them. */
#ifndef MASTER_CONF_CONF_SECRET_H
#define MASTER_CONF_CONF_SECRET_H
#include <stdbool.h>

#include "common/buf.h"
#include "master/conf/conf_keys.h"
#include "master/conf/diag.h"

struct conf;
struct pipeline;
struct yml_node;

#define CONF_SECRET_OWN "drover." /* what the master's own begin with, on a worker's link (steps/login.h) */

struct conf_secret {
  char *name;
  char *file;              /* made absolute; NULL: in the store */
  char **builders, **branches, **workers, **pools; /* `for`: globs; none given: all */
  int nbuilders, nbranches, nworkers, npools;
  struct conf_keys keys;
};

/* Code that is not the repository's, whoever has looked at it. */
enum secret_foreign { SECRET_OWN, SECRET_FORK, SECRET_TRY };

/* A step that wants secrets, as far as it decides anything. */
struct secret_taker {
  const char *project, *builder; /* the builder with its combination: linux[gcc] */
  const char *branch;            /* "": of none; NULL: not known yet */
  const char *worker;            /* NULL: not known yet */
  const char *pool;              /* of the worker; NULL: of none */
  enum secret_foreign foreign;   /* the build is of a pull request from a fork, or tries a patch */
};

const struct conf_secret *conf_secret(const struct conf *c, const char *name);
/* NULL: the step may have it, as far as is known. Else why not, a sentence; the caller frees it. */
char *conf_secret_refused(const struct conf *c, const char *name, const struct secret_taker *t) must_check;
/* What steps of a project's pipeline name: it must be there, and for that builder. Faults into d. */
void conf_check_secrets(const struct conf *c, const char *project, const struct pipeline *p, struct diags *d);

/* For conf.c: from a checked map. file: the path made absolute, taken over, or NULL. */
void conf_secret_make(struct conf_secret *s, const char *name, const struct yml_node *map, char *file);
void conf_secret_free(struct conf_secret *s);
#endif
