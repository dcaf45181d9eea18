/* A worker's disk and work folders, for people. */
#ifndef MASTER_CLI_WORK_H
#define MASTER_CLI_WORK_H
#include <cjson/cJSON.h>

#include "master/cli/cli.h"

/* A line, and a table, from the API's worker; nothing where it tells nothing about them. */
void disk_show(struct cli *c, const cJSON *disk);
void work_show(struct cli *c, const cJSON *worker);
/* cmd_worker_agent.c: what its agent was told to do last, and what its tools say of their versions. */
void order_show(struct cli *c, const cJSON *order);
void tools_show(struct cli *c, const cJSON *tools);
/* cmd_worker_show.c: all of it. */
void worker_show(struct cli *c, const cJSON *worker);
/* Of one that the master dials: where, and what is wrong. */
void ssh_show(struct cli *c, const cJSON *worker);
#endif
