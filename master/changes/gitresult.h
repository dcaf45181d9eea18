/* The helper's answer, as it came over the pipe, to a struct gith_result. */
#ifndef MASTER_CHANGES_GITRESULT_H
#define MASTER_CHANGES_GITRESULT_H
#include "common/buf.h"
#include "master/changes/githelper.h"

/* Strings of the result point into `answer`, which must outlive it. False: not a whole answer, or one that no helper of ours gives
   (r->err and why say so). In both cases to be freed. */
bool gitres_parse(struct gith_result *r, enum vcs vcs, struct buf *answer) must_check;
void gitres_free(struct gith_result *r);
#endif
