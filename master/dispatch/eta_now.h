/* The queue as it stands, on the connected workers of all masters: rows of the database for eta.c. */
#ifndef MASTER_DISPATCH_ETA_NOW_H
#define MASTER_DISPATCH_ETA_NOW_H
#include "master/dispatch/eta.h"
#include "common/mem.h"

struct master;
struct db_tx;
struct db_res;
struct why_of;

/* The statements, at the end of tx; request: nothing is looked for unless it is pending; INT64_MIN: in any case. */
void eta_now_ask(struct db_tx *tx, const struct master *m, int64_t request);
struct eta_now;
/* From their answers, the first being stmt; good as long as these. */
struct eta_now *eta_now_new(struct master *m, const struct db_res *res, int stmt) must_check;
void eta_now_free(struct eta_now *e);
/* The next of the queue; past ETA_QUEUE_MAX nothing is said. takes: as the database writes it, "LOW LIKELY HIGH" in ms, or ""; locks: as JSON, or "". */
void eta_now_waits(struct eta_now *e, const struct why_of *of, const char *takes, const char *locks);
void eta_now_reckon(struct eta_now *e);
/* Of the nth that was added; NULL: can't be told. Lives as long as e. */
const struct eta_begin *eta_now_get(const struct eta_now *e, int n);
#endif
