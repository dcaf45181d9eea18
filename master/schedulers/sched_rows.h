/* Which schedulers there are, as rows: those of the site's pipelines, and of the repositories' at the tips of their default branches. Nothing else writes what a scheduler is. */
#ifndef MASTER_SCHEDULERS_SCHED_ROWS_H
#define MASTER_SCHEDULERS_SCHED_ROWS_H
#include <stdint.h>

#include "common/buf.h"
#include "master/conf/pipeline.h"

struct db_res;
struct db_tx;
struct world;
struct worlds;

/* [{name, kind, spec, timing, branch}] for schedulers_sync (db/schema_0006.sql). */
void sched_rows_json(const struct pipeline *p, struct buf *json);
/* The project's pipeline is the site's, and its row is known. */
void sched_rows_site(struct worlds *w, struct world *p);
/* Statement timed_tips of an answer: reads those pipelines and takes their schedulers over. */
void sched_rows_tips(struct worlds *w, const struct db_res *res, int stmt);
#endif
