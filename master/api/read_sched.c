/* Schedulers: which there are, when they are due, and what they decided. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/zone.h"
#include "master/core/master.h"
#include "master/schedulers/due.h"
#include "master/schedulers/worlds.h"

enum { NEXT_TIMES = 5 };

/* Columns of API_SCHEDULER. */
enum { SCHED_ID, PROJECT, NAME, KIND, SPEC, DUE_AT, FRESH, SCHEDULED, BUILT, OFF_AT, OFF_BY, OFF_WHY, LAST_AT, LAST_SCHEDULED, LAST_WHAT, LAST_WHY, LAST_SET, TIMING, TROUBLE };

static const struct json_col decision_cols[] = {
  { "at", JSON_TIME }, { "scheduled", JSON_TIME }, { "what", JSON_TEXT }, { "why", JSON_TEXT }, { "buildset", JSON_TEXT }, { "change", JSON_TEXT } };
static const struct json_col pending_cols[] = { { "branch", JSON_TEXT }, { "due_at", JSON_TIME }, { "changes", JSON_RAW } };

static cJSON *disabled(const struct db_res *r, int row)
{
  cJSON *o;

  if (db_null(r, 0, row, OFF_AT))
    return cJSON_CreateNull();
  o = cJSON_CreateObject();
  json_ms(o, "at", db_ms(r, 0, row, OFF_AT));
  json_text(o, "by", db_str(r, 0, row, OFF_BY));
  json_text(o, "reason", db_null(r, 0, row, OFF_WHY) ? NULL : db_str(r, 0, row, OFF_WHY));
  return o;
}

static cJSON *last(const struct db_res *r, int row)
{
  cJSON *o;

  if (db_null(r, 0, row, LAST_AT))
    return cJSON_CreateNull();
  o = cJSON_CreateObject();
  json_ms(o, "at", db_ms(r, 0, row, LAST_AT));
  json_ms(o, "scheduled", db_ms(r, 0, row, LAST_SCHEDULED));
  json_text(o, "what", db_str(r, 0, row, LAST_WHAT));
  json_text(o, "why", db_str(r, 0, row, LAST_WHY));
  json_text(o, "buildset", db_null(r, 0, row, LAST_SET) ? NULL : db_str(r, 0, row, LAST_SET));
  return o;
}

/* One that is fresh has no time yet: it will have one in a moment. A disabled one has none. */
static int64_t due_at(const struct db_res *r, int row)
{
  return db_num(r, 0, row, FRESH) || !db_null(r, 0, row, OFF_AT) ? INT64_MIN : db_ms(r, 0, row, DUE_AT);
}

static cJSON *scheduler_json(const struct db_res *r, int row)
{
  cJSON *o = cJSON_CreateObject();

  json_text(o, "id", db_str(r, 0, row, SCHED_ID));
  json_text(o, "project", db_str(r, 0, row, PROJECT));
  json_text(o, "name", db_str(r, 0, row, NAME));
  json_text(o, "kind", db_str(r, 0, row, KIND));
  cJSON_AddItemToObject(o, "spec", cJSON_CreateRaw(db_str(r, 0, row, SPEC)));
  json_ms(o, "due_at", due_at(r, row));
  json_ms(o, "scheduled", db_ms(r, 0, row, SCHEDULED));
  json_text(o, "built", db_null(r, 0, row, BUILT) ? NULL : db_str(r, 0, row, BUILT));
  cJSON_AddItemToObject(o, "disabled", disabled(r, row));
  cJSON_AddItemToObject(o, "last", last(r, row));
  return o;
}

static void got_schedulers(struct call *c, const struct db_res *r)
{
  cJSON *body = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(body, "items");

  for (int i = 0; i < db_rows(r, 0); i++)
    if (worlds_find(call_master(c)->worlds, db_str(r, 0, i, PROJECT))) /* those of a project that left the configuration rest */
      cJSON_AddItemToArray(items, scheduler_json(r, i));
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

void read_schedulers(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_schedulers, "s", call_query(c, "project"));
  call_ask(c, tx, got_schedulers);
}

static cJSON *next_times(const struct db_res *r)
{
  cJSON *list = cJSON_CreateArray();
  char *timing = db_dup(r, 0, 0, TIMING);
  struct pipe_scheduler s = { 0 };
  int64_t t = due_at(r, 0);

  if (t != INT64_MIN && due_of_timing(timing, db_str(r, 0, 0, SCHED_ID), &s))
    for (int i = 0; i < NEXT_TIMES && t != DUE_NEVER; i++, t = due_next(&s, t))
      cJSON_AddItemToArray(list, cJSON_CreateNumber((double)t));
  zone_own();
  free(timing);
  return list;
}

static void got_scheduler(struct call *c, const struct db_res *r)
{
  cJSON *o;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", "drover scheduler list shows them all", "there is no scheduler %s/%s", call_arg(c, 0), call_arg(c, 1));
    return;
  }
  o = scheduler_json(r, 0);
  cJSON_AddItemToObject(o, "next", next_times(r));
  cJSON_AddItemToObject(o, "pending", json_rows(r, 1, pending_cols, COUNT(pending_cols)));
  cJSON_AddItemToObject(o, "decisions", json_rows(r, 2, decision_cols, COUNT(decision_cols)));
  json_text(o, "trouble", db_null(r, 0, 0, TROUBLE) ? NULL : call_is_tcp(c) ? "the pipeline at the tip can't be taken over" : db_str(r, 0, 0, TROUBLE)); /* it may name an address with a password in it */
  call_json(c, 200, o);
}

void read_scheduler(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_scheduler, "ss", call_arg(c, 0), call_arg(c, 1));
  db_q(tx, SQL_api_scheduler_pending, "ss", call_arg(c, 0), call_arg(c, 1));
  db_q(tx, SQL_api_scheduler_decisions, "ss", call_arg(c, 0), call_arg(c, 1));
  call_ask(c, tx, got_scheduler);
}
