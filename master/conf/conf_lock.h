/* Locks as the site declares them, and what is wrong with those that a pipeline takes. */
#ifndef MASTER_CONF_CONF_LOCK_H
#define MASTER_CONF_CONF_LOCK_H
#include <stdbool.h>

#include "master/conf/conf_keys.h"
#include "master/conf/diag.h"

struct conf;
struct pipeline;
struct yml_node;

#define CONF_LOCK_UNITS_MAX 1000

struct conf_lock {
  char *name;
  int count;               /* of named ones: how many names */
  char **units;            /* NULL: they have no names */
  bool per_worker;         /* so many on each worker */
  struct conf_keys keys;
};

const struct conf_lock *conf_lock(const struct conf *c, const char *name);
/* What a project's pipeline takes: each must be there, so many, with names where they are asked for; and none of its builders may hold what, over however many others, waits for what it waits for. */
void conf_check_locks(const struct conf *c, const char *project, const struct pipeline *p, struct diags *d);

/* For conf.c: the same of all pipelines that the site's own files have, which are looked at together. */
void conf_check_site_locks(const struct conf *c, struct diags *d);
/* For conf.c: from a checked map (or nothing). Faults of its own into d. */
void conf_lock_make(struct conf_lock *l, const struct yml_node *key, const struct yml_node *map, struct diags *d);
void conf_lock_free(struct conf_lock *l);
#endif
