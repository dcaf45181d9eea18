/* Parts of request bodies that several commands make. */
#ifndef MASTER_CLI_PROPS_H
#define MASTER_CLI_PROPS_H
#include <cjson/cJSON.h>

#include "master/cli/cli.h"

/* -p NAME=VALUE… as an object, maybe an empty one; NULL: told. */
cJSON *props_object(struct cli *c, const struct args *a) must_check;
/* Puts them into body as "properties", or frees them where there are none. */
void props_add(cJSON *body, cJSON *props);
/* --at CODEBASE=REVISION…, as "at", where there is one. False: told. */
bool props_add_at(struct cli *c, const struct args *a, cJSON *body) must_check;
void props_add_text(cJSON *body, const char *key, const char *value); /* NULL: not at all */
#endif
