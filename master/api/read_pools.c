/* Pools of workers, and one with its members. */
#include "master/api/handlers.h"

static const struct json_col pool_cols[] = {
  { "name", JSON_TEXT }, { "slots", JSON_NUM }, { "tags", JSON_RAW }, { "weight", JSON_NUM }, { "calendar", JSON_TEXT }, { "max", JSON_NUM }, { "forget", JSON_NUM }, { "configured", JSON_BOOL },
  { "token_at", JSON_TIME }, { "token_by", JSON_TEXT }, { "count", JSON_NUM }, { "connected", JSON_NUM }, { "used", JSON_NUM },
};

static void got_pools(struct call *c, const struct db_res *r)
{
  cJSON *body = cJSON_CreateObject();

  cJSON_AddItemToObject(body, "items", json_rows(r, 0, pool_cols, COUNT(pool_cols)));
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

/* The whole list, by name. */
void read_pools(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_pools, "");
  call_ask(c, tx, got_pools);
}

static void got_pool(struct call *c, const struct db_res *r)
{
  cJSON *o;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", "pools are declared in the site's configuration", "there is no pool %s", call_arg(c, 0));
    return;
  }
  o = json_row(r, 0, 0, pool_cols, COUNT(pool_cols));
  cJSON_AddItemToObject(o, "members", worker_rows(r, 1));
  call_json(c, 200, o);
}

void read_pool(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_pool, "s", call_arg(c, 0));
  db_q(tx, SQL_api_pool_members, "s", call_arg(c, 0));
  call_ask(c, tx, got_pool);
}
