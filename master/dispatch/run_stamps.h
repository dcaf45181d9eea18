/* What of each codebase a build builds, where its project has several; and what became known of it. */
#ifndef MASTER_DISPATCH_RUN_STAMPS_H
#define MASTER_DISPATCH_RUN_STAMPS_H
#include "master/dispatch/run.h"

struct db_tx;

/* Into the run's context. stamps: the column of `pending` and `session_read`, "": there is one repository. properties: of the build, with what was checked out so far; "": nothing. */
void run_stamps_read(struct run *r, const char *stamps, const char *properties);
/* What a step has reported as made, a JSON list of {codebase, revision, branch}, or NULL. by: the step; NULL: each says its own. */
void run_stamps_derived(struct run *r, const char *list, const char *by);
void run_stamps_free(struct build_ctx *c);
/* The step at hand has checked something out: the revision, and how it leaves the tree, into tx. */
void run_checked_out(struct run *r, struct db_tx *tx);
#endif
