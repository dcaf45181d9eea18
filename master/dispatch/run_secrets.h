/* Secrets of a command: whether its step may have them, and their values, read when the command is sent. Between the two, and ever after, there are only names. */
#ifndef MASTER_DISPATCH_RUN_SECRETS_H
#define MASTER_DISPATCH_RUN_SECRETS_H
#include "common/buf.h"
#include "master/dispatch/run.h"

struct db_tx;

/* NULL: the step of the run may have all that it names. Else why not, a sentence; the caller frees it. */
char *run_secrets_refused(const struct run *r, const struct pipe_step *def) must_check;
/* The names for command_start, as text[]. The caller frees it. */
char *run_secrets_names(const struct pipe_step *def) must_check;

/* Rows of secrets_named or command_secrets: the run keeps them, encrypted, until the command is sent. */
struct run_secrets *run_secrets_take(struct db_res *res, int stmt) must_check;
void run_secrets_free(struct run_secrets *s); /* NULL: nothing */

/* The blob of `secrets` for a spec that names some; nothing where it names none. The caller wipes and frees it. NULL, or why not: a sentence; the caller frees it. */
char *run_secrets_put(const struct run *r, const void *spec, size_t n, struct buf *out) must_check;
#endif
