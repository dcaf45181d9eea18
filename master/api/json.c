/* From rows to JSON. */
#include "master/api/json.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/utf8.h"
#include "master/db/db.h"
#include "master/steps/step.h"

void json_num(cJSON *o, const char *field, int64_t v)
{
  cJSON_AddNumberToObject(o, field, (double)v);
}

void json_ms(cJSON *o, const char *field, int64_t ms)
{
  if (ms == INT64_MIN)
    cJSON_AddNullToObject(o, field);
  else
    json_num(o, field, ms);
}

void json_text(cJSON *o, const char *field, const char *s)
{
  if (s)
    cJSON_AddStringToObject(o, field, s);
  else
    cJSON_AddNullToObject(o, field);
}

static void add(cJSON *o, const struct json_col *c, const struct db_res *r, int stmt, int row, int col)
{
  bool null = db_null(r, stmt, row, col);

  if (c->kind == JSON_SKIP)
    return;
  if (c->kind == JSON_RESULT)
    json_text(o, "result_text", null ? NULL : result_text((int)db_num(r, stmt, row, col)));
  if (null) {
    cJSON_AddNullToObject(o, c->field);
    return;
  }
  switch (c->kind) {
  case JSON_TEXT: cJSON_AddStringToObject(o, c->field, db_str(r, stmt, row, col)); break;
  case JSON_RESULT:
  case JSON_NUM:  json_num(o, c->field, db_num(r, stmt, row, col)); break;
  case JSON_BOOL: cJSON_AddBoolToObject(o, c->field, db_num(r, stmt, row, col) != 0); break;
  case JSON_TIME: json_ms(o, c->field, db_ms(r, stmt, row, col)); break;
  case JSON_RAW:  cJSON_AddRawToObject(o, c->field, db_str(r, stmt, row, col)); break;
  case JSON_SKIP: break;
  }
}

cJSON *json_row(const struct db_res *r, int stmt, int row, const struct json_col *cols, int n)
{
  cJSON *o = cJSON_CreateObject();

  for (int i = 0; i < n; i++)
    add(o, &cols[i], r, stmt, row, i);
  return o;
}

cJSON *json_rows(const struct db_res *r, int stmt, const struct json_col *cols, int n)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < db_rows(r, stmt); i++)
    cJSON_AddItemToArray(list, json_row(r, stmt, i, cols, n));
  return list;
}

cJSON *json_bytes(const char *p, size_t n)
{
  struct buf b;
  cJSON *s;

  buf_init(&b, BUF_NO_MAX);
  utf8_clean(&b, p, n, false);
  s = cJSON_CreateString(buf_str(&b));
  buf_free(&b);
  return s;
}
