/* What a change causes: a pure function of the pipeline and the change. */
#ifndef MASTER_SCHEDULERS_DECIDE_H
#define MASTER_SCHEDULERS_DECIDE_H
#include <stdbool.h>

#include "common/buf.h"
#include "master/conf/pipeline.h"

bool decide_wants(const struct pipe_scheduler *s, const char *branch);
/* [{"name": …, "tags": […]}] for buildset_add. */
void decide_builders(const struct pipeline *p, char *const *names, int n, struct buf *json);
/* What all schedulers want of a change of the branch: [{"scheduler": …, "stable": ms, "builders": …}] for change_decide (db/schema_0004.sql). */
void decide_plan(const struct pipeline *p, const char *branch, struct buf *json);
#endif
