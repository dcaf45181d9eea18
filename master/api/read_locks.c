/* Locks: what there is, who holds it, who waits in which order. */
#include "master/api/handlers.h"

static const struct json_col lock_cols[] = {
  { "name", JSON_TEXT }, { "count", JSON_NUM }, { "units", JSON_RAW }, { "per", JSON_TEXT }, { "gone", JSON_BOOL }, { "free", JSON_NUM }, { "holders", JSON_RAW }, { "waiting", JSON_RAW },
};

static void got_locks(struct call *c, const struct db_res *r)
{
  cJSON *body = cJSON_CreateObject();

  cJSON_AddItemToObject(body, "items", json_rows(r, 0, lock_cols, COUNT(lock_cols)));
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

/* The whole list, by name. */
void read_locks(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_locks, "");
  call_ask(c, tx, got_locks);
}
