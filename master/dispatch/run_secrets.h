/* Secrets of a command: whether its step may have them, and their values, read when the command is sent. Between the two, and ever after, there are only names. */
#ifndef MASTER_DISPATCH_RUN_SECRETS_H
#define MASTER_DISPATCH_RUN_SECRETS_H
#include "common/buf.h"
#include "master/dispatch/run.h"

struct db_tx;

/* NULL: the step of the run may have all that it names. Else why not, a sentence; the caller frees it. */
char *run_secrets_refused(const struct run *r, const struct pipe_step *def) must_check;
/* What the step takes, for command_start, as text[]. The caller frees it. */
char *run_secrets_names(const struct pipe_step *def) must_check;
/* That, and what the steps before it took: those are only masked. NULL: nothing. The caller frees it. */
char *run_secrets_all(const struct run *r) must_check;

/* Rows of secrets_named: the run keeps them, encrypted, until the command is sent. */
struct run_secrets *run_secrets_take(struct db_res *res, int stmt) must_check;
void run_secrets_free(struct run_secrets *s); /* NULL: nothing */

/* The blob of `secrets` for the run's step; nothing where there are none. The caller wipes and frees it. NULL, or why not: a sentence; the caller frees it. */
char *run_secrets_put(const struct run *r, struct buf *out) must_check;
#endif
