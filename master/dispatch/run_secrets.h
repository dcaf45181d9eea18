/* Secrets of a command: whether its step may have them, and their values (core/secret_values.h), read when the command is sent. Between the two, and ever after, there are only names. */
#ifndef MASTER_DISPATCH_RUN_SECRETS_H
#define MASTER_DISPATCH_RUN_SECRETS_H
#include "common/buf.h"
#include "master/dispatch/run.h"

struct db_tx;

/* NULL: the step of the run may have all that it names. Else why not, a sentence; the caller frees it. */
char *run_secrets_refused(const struct run *r, const struct pipe_step *def) must_check;
/* What the command with that spec takes, for command_start, as text[]. The caller frees it. */
char *run_secrets_names(const struct run *r, const struct buf *spec) must_check;
/* That, and what the steps before it took: those are only masked. spec NULL: it is not known yet. NULL: nothing. The caller frees it. */
char *run_secrets_all(const struct run *r, const void *spec, size_t nspec) must_check;

/* The blob of `secrets` for a command of the run's step; nothing where there are none. The caller wipes and frees it. NULL, or why not: a sentence; the caller frees it. */
char *run_secrets_put(const struct run *r, const void *spec, size_t n, struct buf *out) must_check;
#endif
