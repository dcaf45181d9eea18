/* Workers as the site declares them: those with names, and pools of many of one kind, whose members are given theirs by the master. */
#ifndef MASTER_CONF_CONF_POOL_H
#define MASTER_CONF_CONF_POOL_H
#include <stdbool.h>
#include <stdint.h>

#include "master/conf/conf_keys.h"
#include "master/conf/diag.h"

struct conf;
struct conf_ssh;
struct yml_node;

#define CONF_POOL_NAME_MAX 54 /* bytes: with a hyphen and a number it is the name of a worker, 64 at most */

struct conf_worker {
  char *name;
  int slots, weight;
  char *calendar;          /* text of one (calendar.h), or NULL: always */
  char **tags;
  int ntags;
  struct conf_keys keys;
  int64_t keep_work_ms, min_free; /* CONF_UNSET: the site's */
  struct conf_ssh *ssh;    /* the master dials it (conf_ssh.h); NULL: it dials the master */
};

struct conf_pool {
  struct conf_worker is;   /* what each of its members is; the name is the pool's */
  int max;                 /* members at once; 0: any number */
  int64_t forget_ms;       /* away for so long a member is none any more */
};

const struct conf_pool *conf_pool(const struct conf *c, const char *name); /* NULL: none */
/* The pool that gives its members names like that one, linux of linux-3; NULL: none. */
const struct conf_pool *conf_pool_of_name(const struct conf *c, const char *worker);
/* What counts for a worker that the configuration names, or that is a member of a pool (NULL: of none); NULL: nothing is said of it. */
const struct conf_worker *conf_worker_of(const struct conf *c, const char *worker, const char *pool);
/* No worker has a name that a pool gives; faults into d. keys: worker's name → where it stands. */
struct map;
void conf_check_pools(const struct conf *c, const struct map *keys, struct diags *d);

/* For conf.c: from checked maps. */
void conf_worker_make(struct conf_worker *w, const char *name, const struct yml_node *map, enum schema_group group, struct diags *d);
void conf_worker_free(struct conf_worker *w);
void conf_pool_make(struct conf_pool *p, const struct yml_node *key, const struct yml_node *map, struct diags *d);
void conf_pool_free(struct conf_pool *p);
#endif
