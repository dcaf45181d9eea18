/* Waiting for a master or a database that went away: for so long as --retry says, said once. */
#ifndef MASTER_CLI_PATIENCE_H
#define MASTER_CLI_PATIENCE_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"

struct cli;

/* One for each thing that is tried again and again. Zeroed: nothing has failed yet. */
struct patience {
  int64_t quiet_ms; /* so long nothing is said: it may be as it should */
  int64_t since_ms; /* of the first failure without progress since; 0: none */
  int64_t pause_ms;
};

/* It failed, and why: waits a little. False: it has failed for too long; told, c->code is CLI_AWAY. */
bool patience_wait(struct patience *p, struct cli *c, const char *why) must_check;
/* It went on. */
void patience_progress(struct patience *p);
/* GET, as often as it takes. NULL: told, c->code says what. The caller deletes the answer. */
cJSON *patience_get(struct cli *c, const char *path) must_check;
#endif
