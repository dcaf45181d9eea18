/* Builders that a step has reported (nodes.yml): read on top of the build's pipeline, and kept with the step until its build has ended. */
#ifndef MASTER_DISPATCH_RUN_NODES_H
#define MASTER_DISPATCH_RUN_NODES_H
#include "master/dispatch/run.h"

struct buf;
struct db_tx;

/* The step at hand has ended well and left this text. builders: its builders and what they need, for run_nodes_put; steps behind it may build on them. NULL, or why nothing of it is taken: a sentence or diagnostics,
   which the caller frees. */
char *run_nodes_take(struct run *r, const char *text, struct buf *builders) must_check;
/* Into tx, after what else the step has reported: what becomes of it when the build ends well, too (nodes_add in db/schema_0035.sql). */
void run_nodes_put(struct run *r, struct db_tx *tx, const char *text, const char *builders);
#endif
