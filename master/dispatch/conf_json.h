/* Configurations as the API tells them. */
#ifndef MASTER_DISPATCH_CONF_JSON_H
#define MASTER_DISPATCH_CONF_JSON_H
#include <cjson/cJSON.h>

#include "common/mem.h"

struct conf_diff;

/* [{"what": "added", "kind": "project", "name": "libfoo", "keys": [], "builders": […] or null, "schedulers": […] or null}]; the last two only of added projects, null where the repository has the pipeline */
cJSON *conf_json_diff(const struct conf_diff *d) must_check;
#endif
