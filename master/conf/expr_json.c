/* From JSON to values of expressions. */
#include "master/conf/expr_json.h"

#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 8 /* of lists in a property; the API takes fewer */, FRACTION_MAX = 32 };
#define NUMBER_MAX 9e15 /* above it a double skips whole numbers */
enum { PROPERTY_DEPTH_MAX = 4 };
#define PROPERTY_NUMBER_MAX 9007199254740992.0 /* what JSON readers agree on: 2^53 */

static bool value(const cJSON *it, struct expr_memory *m, int depth, struct expr_value *out)
{
  struct expr_value *items;
  const cJSON *k;
  char *s;
  int n = 0;

  if (cJSON_IsBool(it)) {
    *out = (struct expr_value){ .type = EXPR_BOOL, .yes = cJSON_IsTrue(it) };
  } else if (cJSON_IsNumber(it)) {
    if (!(it->valuedouble >= -NUMBER_MAX && it->valuedouble <= NUMBER_MAX))
      return false;
    if (it->valuedouble == (double)(int64_t)it->valuedouble) {
      *out = (struct expr_value){ .type = EXPR_NUMBER, .number = (int64_t)it->valuedouble };
    } else { /* numbers of expressions are whole: a fraction (of a parameter) is its text */
      s = expr_take(m, FRACTION_MAX);
      snprintf(s, FRACTION_MAX, "%.15g", it->valuedouble);
      *out = (struct expr_value){ .type = EXPR_TEXT, .text = { s, strlen(s) } };
    }
  } else if (cJSON_IsString(it)) {
    size_t len = strlen(it->valuestring);
    s = expr_take(m, len + 1);
    *out = (struct expr_value){ .type = EXPR_TEXT, .text = { memcpy(s, it->valuestring, len + 1), len } };
  } else if (cJSON_IsArray(it) && depth < DEPTH_MAX) {
    items = expr_take(m, (size_t)(cJSON_GetArraySize(it) + 1) * sizeof *items);
    cJSON_ArrayForEach(k, it)
      if (!value(k, m, depth + 1, &items[n++]))
        return false;
    *out = (struct expr_value){ .type = EXPR_LIST, .list = { items, n } };
  } else {
    return false;
  }
  return true;
}

bool expr_of_json(const cJSON *it, struct expr_memory *m, struct expr_value *out)
{
  return it && value(it, m, 0, out);
}

static bool ok(const cJSON *it, int depth)
{
  const cJSON *k;

  if (cJSON_IsNumber(it))
    return it->valuedouble >= -PROPERTY_NUMBER_MAX && it->valuedouble <= PROPERTY_NUMBER_MAX && it->valuedouble == (double)(int64_t)it->valuedouble;
  if (!cJSON_IsArray(it))
    return cJSON_IsString(it) || cJSON_IsBool(it);
  cJSON_ArrayForEach(k, it)
    if (depth == PROPERTY_DEPTH_MAX || !ok(k, depth + 1))
      return false;
  return true;
}

bool expr_json_ok(const cJSON *it)
{
  return ok(it, 0);
}
