/* What a repository that does not answer has to do with it: for `drover why`. */
#ifndef MASTER_CLI_WHY_REPO_H
#define MASTER_CLI_WHY_REPO_H
#include <stdbool.h>

#include "master/cli/cli.h"

/* A line for each of the project's repositories that the master's last looks did not get through to; codebase NULL: of all. Nothing with --json. False: it could not be asked, and was told. */
bool why_silent(struct cli *c, const char *project, const char *codebase) must_check;
/* The project, where there is one of that name: what its repositories say, and what its schedulers did last. *found: there is. The exit code. */
int why_project(struct cli *c, const char *name, bool *found) must_check;
/* The same of PROJECT/SCHEDULER. */
int why_scheduler(struct cli *c, const char *name, bool *found) must_check;
#endif
