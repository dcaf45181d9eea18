/* The tables of `drover list`, for whoever shows such a list. */
#ifndef MASTER_CLI_LIST_H
#define MASTER_CLI_LIST_H
#include <cjson/cJSON.h>

#include "master/cli/cli.h"

/* kind: builders, builds, requests, changes, workers or pools. items: an array of such objects of the API. */
void list_table(struct cli *c, const char *kind, const cJSON *items);
/* cmd_worker_show.c: "connected", "away, 2 min ago", "paused, until today 18:00", … of a worker; the caller frees it. */
char *list_worker_state(const cJSON *worker) must_check;
enum style list_worker_style(const cJSON *worker);
#endif
