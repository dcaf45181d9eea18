/* From JSON to values of expressions: properties of builds and changes. */
#ifndef MASTER_CONF_EXPR_JSON_H
#define MASTER_CONF_EXPR_JSON_H
#include <cjson/cJSON.h>

#include "master/conf/expr.h"

/* Copies into m, so the JSON need not live as long. False: of a kind that expressions do not have (null, maps, numbers that are not whole). it NULL: false. */
bool expr_of_json(const cJSON *it, struct expr_memory *m, struct expr_value *out) must_check;
/* Whether it may be a property: what an expression can have. Texts, whole numbers that all readers of JSON agree on, true and false, lists of these in a few levels. */
bool expr_json_ok(const cJSON *it) must_check;
#endif
