/* What the commands about workers share. */
#ifndef MASTER_CLI_WORKER_H
#define MASTER_CLI_WORKER_H
#include "master/cli/cli.h"

/* The body of POST workers, from the name and the flags; NULL: told. */
cJSON *worker_body(struct cli *c, const struct args *a, const char *name) must_check;
/* A new join token, of a worker or a pool, as the API tells it. */
void token_show(struct cli *c, const struct args *a, const cJSON *answer, bool pool);
/* The worker program for "linux-x86_64" that came with this `drover`: in lib/drover/worker of its installation, or beside it as a build leaves it for this host's kind.
   NULL: there is none. The caller frees it. */
char *worker_program(const char *kind) must_check;
char *worker_kind_here(void) must_check; /* of this host; the caller frees it */
#endif
