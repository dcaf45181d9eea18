/* Workers: what each does, whether it gets anything, and why not. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/conf/calendar.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/workers/questions.h"
#include "master/workers/work.h"

static const cJSON *field(const cJSON *o, const char *name)
{
  return cJSON_GetObjectItemCaseSensitive(o, name);
}

static bool is_there(const cJSON *o, const char *name)
{
  return field(o, name) && !cJSON_IsNull(field(o, name));
}

/* "window": {open, turns}, null without a calendar; turns null: it never does. */
static void add_window(cJSON *o)
{
  const char *text = cJSON_GetStringValue(field(o, "calendar"));
  int64_t now = clock_wall_ms() / 1000, turns;
  struct calendar cal;
  struct buf why;
  int column;
  cJSON *w;

  buf_init(&why, STR_SIZE_MAX);
  if (!text || calendar_parse(text, &cal, &why, &column)) {
    cJSON_AddNullToObject(o, "window");
  } else {
    turns = calendar_turns(&cal, now);
    w = cJSON_AddObjectToObject(o, "window");
    cJSON_AddBoolToObject(w, "open", calendar_open(&cal, now));
    json_ms(w, "turns", turns == CALENDAR_NEVER ? INT64_MIN : turns * 1000);
  }
  buf_free(&why);
}

/* A drain that is not over yet. */
static bool drains(const cJSON *o)
{
  const cJSON *raw = field(o, "order"); /* as the database wrote it */
  cJSON *order = cJSON_IsRaw(raw) ? cJSON_Parse(raw->valuestring) : NULL;
  const char *state = cJSON_GetStringValue(field(order, "state"));
  bool yes = cJSON_IsTrue(field(order, "drain")) && (str_eq(state, "wanted") || str_eq(state, "sent"));

  cJSON_Delete(order);
  return yes;
}

/* In one word, for all who show workers: what counts most of why it gets nothing, or `ready`. */
static const char *state_of(const cJSON *o)
{
  if (is_there(o, "removed"))
    return "removed";
  if (!cJSON_IsTrue(field(o, "connected")))
    return is_there(o, "since") || is_there(o, "lost_at") ? "away" : "new";
  if (drains(o))
    return "draining";
  if (is_there(o, "paused"))
    return "paused";
  if (is_there(o, "quarantine"))
    return "quarantine";
  if (cJSON_IsFalse(field(field(o, "window"), "open")))
    return "closed";
  return "ready";
}

cJSON *worker_row(const struct db_res *r, int stmt, int row)
{
  cJSON *o = json_row(r, stmt, row, worker_cols, WORKER_COLS);

  add_window(o);
  json_text(o, "state", state_of(o));
  return o;
}

cJSON *worker_rows(const struct db_res *r, int stmt)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < db_rows(r, stmt); i++)
    cJSON_AddItemToArray(list, worker_row(r, stmt, i));
  return list;
}

static void got_workers(struct call *c, const struct db_res *r)
{
  cJSON *body = cJSON_CreateObject();

  cJSON_AddItemToObject(body, "items", worker_rows(r, 0));
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

/* The whole list, by name: a site has as many workers as somebody has set up. */
void read_workers(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_workers, "");
  call_ask(c, tx, got_workers);
}

/* What a session of this master knows is newer than the row. */
static void add_disk(cJSON *o, struct master *m, const char *name, const struct db_res *r)
{
  const char *pool = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "pool"));
  int64_t free_bytes = db_rows(r, 3) && !db_null(r, 3, 0, 0) ? db_num(r, 3, 0, 0) : -1, total = db_rows(r, 3) && !db_null(r, 3, 0, 1) ? db_num(r, 3, 0, 1) : -1;
  int64_t at = db_rows(r, 3) ? db_ms(r, 3, 0, 2) : INT64_MIN;
  cJSON *d;

  if (m->works && works_disk(m->works, name, &free_bytes, &total))
    at = clock_wall_ms();
  json_num(o, "keep_work", conf_keep_work_ms(m->conf, name, pool));
  if (free_bytes < 0) {
    cJSON_AddNullToObject(o, "disk");
    return;
  }
  d = cJSON_AddObjectToObject(o, "disk");
  json_num(d, "free", free_bytes);
  json_ms(d, "total", total < 0 ? INT64_MIN : total);
  json_num(d, "min_free", conf_min_free(m->conf, name, pool, total));
  json_ms(d, "at", at);
}

/* One worker, while it is asked why it gets nothing. */
struct asked {
  struct call *c;
  cJSON *o;
};

/* "gets": {items, why}: why there are none, where that can't be told. */
static void add_gets(cJSON *o, cJSON *items, const char *why)
{
  cJSON *gets = cJSON_AddObjectToObject(o, "gets");

  cJSON_AddItemToObject(gets, "items", items ? items : cJSON_CreateArray());
  json_text(gets, "why", why);
}

static void told(int status, const char *body, void *arg)
{
  struct asked *a = arg;
  cJSON *answer = cJSON_Parse(body);

  if (status == 200)
    add_gets(a->o, cJSON_DetachItemFromObjectCaseSensitive(answer, "items"), NULL);
  else
    add_gets(a->o, NULL, cJSON_GetStringValue(field(field(answer, "error"), "message")));
  cJSON_Delete(answer);
  if (call_release(a->c))
    call_json(a->c, 200, a->o);
  else
    cJSON_Delete(a->o);
  free(a);
}

static const struct json_col lock_cols[] = {
  { "name", JSON_TEXT }, { "build", JSON_TEXT }, { "step", JSON_TEXT }, { "n", JSON_NUM }, { "units", JSON_RAW }, { "since", JSON_TIME }, { "ghost", JSON_BOOL } };

static void got_worker(struct call *c, const struct db_res *r)
{
  struct asked *a;
  cJSON *o, *none;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", "drover worker list shows them all", "there is no worker %s", call_arg(c, 0));
    return;
  }
  o = worker_row(r, 0, 0);
  cJSON_AddItemToObject(o, "running", json_rows(r, 1, build_cols, BUILD_COLS));
  add_disk(o, call_master(c), call_arg(c, 0), r);
  cJSON_AddItemToObject(o, "folders", json_rows(r, 2, folder_cols, FOLDER_COLS));
  cJSON_AddItemToObject(o, "locks", json_rows(r, 4, lock_cols, COUNT(lock_cols)));
  if (!cJSON_IsTrue(field(o, "connected"))) {
    add_gets(o, NULL, is_there(o, "removed") ? "it was removed" : "it is not connected");
    call_json(c, 200, o);
    return;
  }
  a = xcalloc(1, sizeof *a);
  *a = (struct asked){ c, o };
  none = cJSON_CreateObject();
  call_hold(c);
  question_ask(call_master(c), QUESTION_GETS, call_arg(c, 0), none, told, a);
  cJSON_Delete(none);
}

void read_worker(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_worker, "s", call_arg(c, 0));
  db_q(tx, SQL_api_worker_builds, "s", call_arg(c, 0));
  db_q(tx, SQL_api_worker_folders, "s", call_arg(c, 0));
  db_q(tx, SQL_api_worker_disk, "s", call_arg(c, 0));
  db_q(tx, SQL_api_worker_locks, "s", call_arg(c, 0));
  call_ask(c, tx, got_worker);
}
