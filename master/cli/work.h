/* A worker's disk and work folders, for people. */
#ifndef MASTER_CLI_WORK_H
#define MASTER_CLI_WORK_H
#include <cjson/cJSON.h>

#include "master/cli/cli.h"

/* Lines and a table from the API's worker; nothing where it tells nothing about them. */
void work_show(struct cli *c, const cJSON *worker);
/* What its agent was told to do last, and what its tools say of their versions. */
void agent_show(struct cli *c, const cJSON *worker);
#endif
