/* The queue as it stands, on this master's workers: rows of the database for eta.c. */
#ifndef MASTER_DISPATCH_ETA_NOW_H
#define MASTER_DISPATCH_ETA_NOW_H
#include "master/dispatch/eta.h"
#include "common/mem.h"

struct master;
struct why_of;

struct eta_now;
struct eta_now *eta_now_new(struct master *m) must_check; /* good within this turn of the loop */
void eta_now_free(struct eta_now *e);
/* A build that holds a slot; on a worker of another master it counts for nothing. takes: as the database writes it, "LOW LIKELY HIGH" in ms, or "". */
void eta_now_runs(struct eta_now *e, int64_t worker, int64_t ran_ms, const char *takes);
/* The next of the queue; past ETA_QUEUE_MAX nothing is said. */
void eta_now_waits(struct eta_now *e, const struct why_of *of, const char *takes);
void eta_now_reckon(struct eta_now *e);
/* Of the nth that was added; NULL: can't be told. Lives as long as e. */
const struct eta_begin *eta_now_get(const struct eta_now *e, int n);
#endif
