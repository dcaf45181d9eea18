/* From rows to JSON: a table says which column becomes which field, and of what kind. */
#ifndef MASTER_API_JSON_H
#define MASTER_API_JSON_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

struct db_res;

/* One column, in the order of the select. */
struct json_col {
  const char *field;
  enum json_kind {
    JSON_TEXT,
    JSON_NUM,
    JSON_BOOL,
    JSON_TIME,   /* timestamptz: ms since 1970 */
    JSON_RAW,    /* json text, put in as it is */
    JSON_RESULT, /* a number, with `result_text` beside it */
    JSON_SKIP,   /* for the program only */
  } kind;
};

/* NULL columns become null. */
cJSON *json_row(const struct db_res *r, int stmt, int row, const struct json_col *cols, int n) must_check;
cJSON *json_rows(const struct db_res *r, int stmt, const struct json_col *cols, int n) must_check;
void json_num(cJSON *o, const char *field, int64_t v);
void json_ms(cJSON *o, const char *field, int64_t ms);  /* INT64_MIN: null */
void json_text(cJSON *o, const char *field, const char *s); /* NULL: null */
/* A string from bytes of anywhere: what is not UTF-8, and NUL, becomes U+FFFD. */
cJSON *json_bytes(const char *p, size_t n) must_check;
#endif
