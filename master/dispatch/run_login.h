/* The credentials of a run's checkouts: which there are, while its step is asked what it wants, and their values, when a command that wants them is sent. */
#ifndef MASTER_DISPATCH_RUN_LOGIN_H
#define MASTER_DISPATCH_RUN_LOGIN_H
#include "common/buf.h"
#include "master/dispatch/run.h"

/* Before the step is asked: what it finds in ctx is the active configuration's, valid within this turn. */
void run_login_look(struct run *r);
/* The secret of the site that the checkout at hand is reached by, if its command wants one (spec NULL: if it may); NULL: none. Valid within this turn. */
const char *run_login_secret(const struct run *r, const void *spec, size_t n);
/* Values that the command wants, behind those in out (run_secrets_put). NULL, or why not: a sentence; the caller frees it. */
char *run_login_put(const struct run *r, const void *spec, size_t n, struct buf *out) must_check;
#endif
