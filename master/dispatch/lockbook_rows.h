/* A lockbook from rows, and what follows from it as JSON for the statements of sql_lock.def. */
#ifndef MASTER_DISPATCH_LOCKBOOK_ROWS_H
#define MASTER_DISPATCH_LOCKBOOK_ROWS_H
#include <cjson/cJSON.h>

#include "master/dispatch/lockbook.h"

struct db_tx;
struct db_res;
struct why_of;

#define LOCKBOOK_STATEMENTS 3

/* The statements, at the end of tx. takes, known: as for `pending`. */
void lockbook_ask(struct db_tx *tx, const char *takes, const char *known, int64_t master);
/* Which workers could take such a request now, the best first; where `all` is false the best will do. How many; *workers is the caller's to free. */
typedef int lockbook_could(void *arg, const struct why_of *of, bool all, int64_t **workers);
/* Of what is wanted, as rows have it, [{lock, n}], one; n 0: exclusive. False: it is none. Pure. */
bool lock_want_of(const cJSON *it, const char **name, int *n);
/* From their answers, the first being stmt; in place of what was in b. The line is not reckoned yet. */
void lockbook_take(struct lockbook *b, const struct db_res *res, int stmt, lockbook_could *could, void *arg);
/* Requests that may be claimed now, as bigint[]. The caller frees these texts. */
char *lockbook_allowed(const struct lockbook *b) must_check;
/* Requests of this master that are in line, for `locks_waited`; also those that were and are to be claimed now: until that is done nobody behind them at another master may be faster. */
char *lockbook_waiting(const struct lockbook *b) must_check;
/* What w may have, for `locks_take`. */
char *lockbook_given(const struct lockbook *b, const struct lock_waiter *w) must_check;
#endif
