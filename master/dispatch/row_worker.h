/* A worker that this master has no session of, as its row has it: what a condition is asked with, and whether it would take builds now. */
#ifndef MASTER_DISPATCH_ROW_WORKER_H
#define MASTER_DISPATCH_ROW_WORKER_H
#include <stdbool.h>
#include <stdint.h>

#include "master/dispatch/want.h"
#include "master/workers/told.h"

struct db_res;
struct master;
struct why_of;

struct row_worker {
  int64_t id;
  struct worker_is is; /* points into the answer, and into what follows */
  struct told told;
  char **tags;
  bool takes;          /* not paused, closed, in quarantine or low on disk */
};
/* From a row of ROW_WORKER (db/sql_api.def); good as long as the answer. The memory must not be moved; row_worker_free() frees what is within. */
void row_worker_read(struct row_worker *w, const struct master *m, const struct db_res *res, int stmt, int row);
void row_worker_free(struct row_worker *w);
/* Whether it has what such a request wants, whatever else keeps it from it. */
bool row_worker_fits(const struct row_worker *w, struct master *m, const struct why_of *of) must_check;
#endif
