/* What belongs to a buildset: the builders asked for, and what they need. Pure. */
#ifndef MASTER_SCHEDULERS_GRAPH_H
#define MASTER_SCHEDULERS_GRAPH_H
#include <stdbool.h>

#include "common/mem.h"
#include "master/conf/pipeline.h"

struct graph_node {
  const struct pipe_builder *builder;
  bool asked; /* by name; else only because another needs it */
};
/* Each builder once, behind all that it needs; else in the order of the names. Names that the pipeline doesn't have are left out. The caller frees *out. */
int graph_closure(const struct pipeline *p, char *const *names, int n, struct graph_node **out) must_check;
#endif
