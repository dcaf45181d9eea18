/* drover show of a build and of one of its steps. */
#ifndef MASTER_CLI_SHOW_BUILD_H
#define MASTER_CLI_SHOW_BUILD_H
#include <cjson/cJSON.h>

#include "master/cli/cli.h"

void show_build(struct cli *c, const cJSON *build);
int show_step(struct cli *c, const cJSON *build, const char *name); /* the exit code; CLI_USAGE where it has no such step */
#endif
