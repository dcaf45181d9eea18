/* Between the files that make a pipeline from a tree: pipeline.c (builders, steps), pipe_sched.c (schedulers). */
#ifndef MASTER_CONF_PIPE_INT_H
#define MASTER_CONF_PIPE_INT_H
#include "master/conf/pipe_expr.h"
#include "master/conf/pipeline.h"
#include "master/conf/schema.h"

struct map;

struct block {
  struct block *next;
};

struct whole {
  struct pipeline p; /* first: what is handed out */
  struct yml_doc *doc;
  struct block *blocks;
  struct pipe_exprs exprs;
};

struct maker {
  struct whole *w;
  struct diags *d;
  struct map *builders; /* name → struct pipe_builder */
  char **all;           /* their names; shared by all schedulers that want all */
  int steps;
  const char *project;
};

/* Zeroed memory that lives as long as the pipeline. */
void *pipe_take(struct whole *w, size_t count, size_t size) must_check;
/* One string or a list of them, as a NULL-ended array; NULL where n is. */
char **pipe_strings(struct whole *w, const struct yml_node *n, int *count) must_check;
/* What is missing in a map may be what a key that nobody knows was meant for; the check told of that one. */
bool pipe_strange_key(const struct yml_node *map, enum schema_group group) must_check;
/* After the builders: m->builders and m->all are there. named: the map of schedulers, or NULL. */
void pipe_make_schedulers(struct maker *m, const struct yml_node *named);
/* parameters of `force`: the map, or NULL. */
void pipe_make_params(struct maker *m, struct pipe_scheduler *s, const struct yml_node *named);
#endif
