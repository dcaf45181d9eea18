/* What can be seen of a master that does not answer, from this host: its socket, its service, its configuration. */
#ifndef MASTER_CLI_LOOK_H
#define MASTER_CLI_LOOK_H
#include <cjson/cJSON.h>

#include "common/mem.h"

struct cli;
/* {name, level, text, todo}; text and todo may be NULL. */
cJSON *look_check(const char *name, const char *level, const char *text, const char *todo) must_check;
/* An array of such checks, in the order of what is most likely the matter. why: how reaching it failed. */
cJSON *look_around(const struct cli *c, const char *why) must_check;
#endif
