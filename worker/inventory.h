/* The spool: what is found in it when the agent starts, and what the master is told of it. */
#ifndef WORKER_INVENTORY_H
#define WORKER_INVENTORY_H
#include "worker/agent.h"

void inventory_scan(struct agent *a);
/* `have` for each command, then `listed`. */
void inventory_tell(struct agent *a);
#endif
