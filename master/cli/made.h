/* What becomes of requests that a command has just made. */
#ifndef MASTER_CLI_MADE_H
#define MASTER_CLI_MADE_H
#include <cjson/cJSON.h>

#include "master/cli/cli.h"

/* --follow, --wait, or neither: by the answer {buildset, requests}. Returns the exit code. */
int made_go_on(struct cli *c, const struct args *a, const cJSON *answer);
#endif
