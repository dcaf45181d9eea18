/* What locks a run has, by name, for its steps' environment and expressions. The rows are the truth; this follows them. */
#ifndef MASTER_DISPATCH_RUN_LOCKS_H
#define MASTER_DISPATCH_RUN_LOCKS_H
#include "master/dispatch/lockbook.h"
#include "master/dispatch/run.h"

/* It is given what w may have: the run's own (w is its request), or its step's. */
void run_locks_put(struct run *r, const struct lockbook *b, const struct lock_waiter *w);
/* From the rows, as session_read tells them: [{lock, step, units}], or "". */
void run_locks_adopt(struct run *r, const char *json);
/* Its step has no locks any more, and waits for none. True: it had some, or may be in a line. */
bool run_locks_end_step(struct run *r);
void run_locks_free(struct run *r);

/* A step of this master's that waits for locks may have them: its transaction takes them, and its command is sent. */
void run_locks_granted(struct master *m, const struct lockbook *b, const struct lock_waiter *w);
/* Somebody was faster: it waits on. */
void run_locks_not_now(struct run *r);
/* Whether a step of this master's waits for locks. */
bool run_locks_any_waits(struct master *m);
#endif
