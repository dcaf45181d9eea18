/* Builders, builds in lists, and one build with its steps, their commands and logs. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/dispatch/why.h"
#include "proto/records.h"

static const struct json_col builder_cols[] = {
  { "id", JSON_TEXT }, { "project", JSON_TEXT }, { "name", JSON_TEXT }, { "pending", JSON_NUM }, { "recent", JSON_RAW },
};
static const struct json_col step_cols[] = {
  { "name", JSON_TEXT }, { "number", JSON_NUM }, { "kind", JSON_TEXT }, { "state", JSON_TEXT }, { "result", JSON_RESULT }, { "summary", JSON_TEXT },
  { "started", JSON_TIME }, { "finished", JSON_TIME }, { "duration", JSON_NUM }, { "trail", JSON_RAW }, { "row", JSON_SKIP }, { "hidden", JSON_BOOL }, { "report", JSON_RAW },
};
static const struct json_col broken_cols[] = {
  { "id", JSON_TEXT }, { "project", JSON_TEXT }, { "name", JSON_TEXT }, { "last", JSON_SKIP }, { "since", JSON_TEXT }, { "since_at", JSON_TIME }, { "good", JSON_NUM }, { "count", JSON_NUM }, { "change", JSON_RAW },
};
static const struct json_col reason_cols[] = { /* changes of a build */
  { "id", JSON_TEXT }, { "branch", JSON_TEXT }, { "revision", JSON_TEXT }, { "author", JSON_TEXT }, { "message", JSON_TEXT }, { "own", JSON_BOOL },
};
enum { CHANGES_COUNT = COUNT(reason_cols), CHANGES_SINCE };
static const struct json_col stamp_cols[] = {
  { "codebase", JSON_TEXT }, { "repository", JSON_TEXT }, { "branch", JSON_TEXT }, { "revision", JSON_TEXT }, { "got_revision", JSON_TEXT }, { "set_off", JSON_BOOL }, { "why", JSON_TEXT },
};
static const struct json_col command_cols[] = {
  { "id", JSON_TEXT }, { "name", JSON_TEXT }, { "state", JSON_TEXT }, { "how", JSON_TEXT }, { "code", JSON_NUM }, { "reason", JSON_TEXT }, { "detail", JSON_TEXT },
  { "wall_ms", JSON_NUM }, { "user_ms", JSON_NUM }, { "sys_ms", JSON_NUM }, { "maxrss_kib", JSON_NUM }, { "secrets", JSON_RAW },
};
static const struct json_col log_cols[] = {
  { "id", JSON_NUM }, { "name", JSON_TEXT }, { "command", JSON_TEXT }, { "length", JSON_NUM }, { "stored", JSON_NUM }, { "lines", JSON_NUM }, { "complete", JSON_BOOL }, { "step", JSON_SKIP }, { "warnings", JSON_NUM },
  { "left_bytes", JSON_NUM }, { "left_lines", JSON_NUM }, { "limit_bytes", JSON_NUM }, { "limit_lines", JSON_NUM }, { "held", JSON_BOOL }, { "stream", JSON_NUM },
};
static const struct json_col triggered_cols[] = {
  { "id", JSON_TEXT }, { "scheduler", JSON_TEXT }, { "state", JSON_TEXT }, { "result", JSON_RESULT }, { "waited", JSON_BOOL }, { "requests", JSON_RAW },
};
static const struct json_col asking_cols[] = {
  { "project", JSON_TEXT }, { "builders", JSON_RAW }, { "branch", JSON_TEXT }, { "refused", JSON_BOOL }, { "why", JSON_TEXT },
};
static const struct json_col parent_cols[] = { { "parent", JSON_RAW } };
enum { STEP_ROW = 10, COMMAND_STEP = 12, COMMAND_SPEC = 13, LOG_STEP = 7, TRIGGERED_STEP = 6, ASKING_STEP = 5 };
enum { BUILD_PROJECT = 2, BUILD_BUILDER = 3 };

/* ---- builders ---- */

static bool of_builder(const struct db_res *r, int stmt, int row, int builder)
{
  return !strcmp(db_str(r, stmt, row, BUILD_PROJECT), db_str(r, 0, builder, 1)) && !strcmp(db_str(r, stmt, row, BUILD_BUILDER), db_str(r, 0, builder, 2));
}

static cJSON *builds_of(const struct db_res *r, int stmt, int builder)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < db_rows(r, stmt); i++)
    if (of_builder(r, stmt, i, builder))
      cJSON_AddItemToArray(list, json_row(r, stmt, i, build_cols, BUILD_COLS));
  return list;
}

static void got_builders(struct call *c, const struct db_res *r)
{
  cJSON *body = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(body, "items");

  for (int i = 0; i < db_rows(r, 0); i++) {
    cJSON *o = json_row(r, 0, i, builder_cols, COUNT(builder_cols)), *last = builds_of(r, 1, i), *first = cJSON_DetachItemFromArray(last, 0);
    cJSON_Delete(last);
    cJSON_AddItemToObject(o, "last", first ? first : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "running", builds_of(r, 2, i));
    cJSON_AddItemToArray(items, o);
  }
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

/* The whole list, by name. */
void read_builders(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_builders, "");
  db_q(tx, SQL_api_builders_last, "");
  db_q(tx, SQL_api_builders_running, "");
  call_ask(c, tx, got_builders);
}

static void got_broken(struct call *c, const struct db_res *r)
{
  cJSON *body = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(body, "items");

  for (int i = 0; i < db_rows(r, 0); i++) {
    cJSON *o = json_row(r, 0, i, broken_cols, COUNT(broken_cols)), *last = builds_of(r, 1, i);
    cJSON *first = cJSON_DetachItemFromArray(last, 0);
    cJSON_Delete(last);
    cJSON_AddItemToObject(o, "last", first ? first : cJSON_CreateNull());
    cJSON_AddItemToArray(items, o);
  }
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

void read_broken(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_broken, "");
  db_q(tx, SQL_api_broken_last, "");
  call_ask(c, tx, got_broken);
}

/* ---- builds ---- */

static void got_builds(struct call *c, const struct db_res *r)
{
  page_json(c, r, 0, build_cols, BUILD_COLS, call_data(c, sizeof(struct page)));
}

static bool live(const char *state)
{
  return str_eq(state, "running") || str_eq(state, "cancelling");
}

void read_builds(struct call *c)
{
  const char *builder = call_query(c, "builder"), *state = call_query(c, "state"), *branch = call_query(c, "branch"), *set = call_query(c, "buildset");
  struct page *p = call_data(c, sizeof *p);
  char *project = NULL, *name = NULL;
  int64_t id = 0;
  struct db_tx *tx;

  if (!page_get(c, p) || (builder && !builder_get(c, builder, &project, &name)) || (set && !id_get(c, set, 's', &id)))
    goto end;
  if (builder && set) {
    call_error(c, 400, "bad_request", NULL, "builder and buildset don't go together");
    goto end;
  }
  tx = call_tx(c);
  if (builder)
    db_q(tx, SQL_api_builds_builder, "Nssnss", p->before, state, branch, p->limit, project, name);
  else if (set)
    db_q(tx, SQL_api_builds_set, "Nssnn", p->before, state, branch, p->limit, id);
  else
    db_q(tx, live(state) ? SQL_api_builds_live : SQL_api_builds, "Nssn", p->before, state, branch, p->limit);
  call_ask(c, tx, got_builds);
end:
  free(project);
  free(name);
}

/* ---- one build ---- */

static cJSON *argv_of(const struct db_res *r, int stmt, int row)
{
  cJSON *argv = cJSON_CreateArray();
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t n, at = 0;
  const char *spec = db_bytes(r, stmt, row, COMMAND_SPEC, &n);

  while (n && spec[n - 1]) /* a long spec was cut: its last record is not whole */
    n--;
  while (!records_next(spec, n, &at, key, &value))
    if (!strcmp(key, "arg"))
      cJSON_AddItemToArray(argv, json_bytes(value, strlen(value)));
  return argv;
}

static cJSON *commands_of(const struct db_res *r, int64_t step)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < db_rows(r, 2); i++) {
    cJSON *o;
    if (db_num(r, 2, i, COMMAND_STEP) != step)
      continue;
    o = json_row(r, 2, i, command_cols, COUNT(command_cols));
    cJSON_AddItemToObject(o, "argv", argv_of(r, 2, i));
    cJSON_AddItemToArray(list, o);
  }
  return list;
}

/* Of a statement those rows that are of the step, as the column `of` says. */
static cJSON *of_step(const struct db_res *r, int stmt, int of, int64_t step, const struct json_col *cols, int n)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < db_rows(r, stmt); i++)
    if (db_num(r, stmt, i, of) == step)
      cJSON_AddItemToArray(list, json_row(r, stmt, i, cols, n));
  return list;
}

/* Whether the step waits for a lock; why says for which. */
static bool waits_of(struct call *c, const struct db_res *r, int row, struct why *why)
{
  enum { BUILD_REQUEST = 8, STEP_STATE = 3, STEP_RESULT = 4 };
  int64_t request;

  return !strcmp(db_str(r, 1, row, STEP_STATE), "locks") && db_null(r, 1, row, STEP_RESULT) && id_get(c, db_str(r, 0, 0, BUILD_REQUEST), 'r', &request) &&
         why_locks(call_master(c), request, true, why);
}

static void got_build(struct call *c, const struct db_res *r)
{
  cJSON *o, *steps, *parent;
  struct why w;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", NULL, "this build has just been removed");
    return;
  }
  o = json_row(r, 0, 0, build_cols, BUILD_COLS);
  steps = cJSON_AddArrayToObject(o, "steps");
  for (int i = 0; i < db_rows(r, 1); i++) {
    cJSON *t = json_row(r, 1, i, step_cols, COUNT(step_cols));
    cJSON_AddItemToObject(t, "commands", commands_of(r, db_num(r, 1, i, STEP_ROW)));
    json_text(t, "waits", waits_of(c, r, i, &w) ? w.text : NULL);
    cJSON_AddItemToObject(t, "logs", of_step(r, 3, LOG_STEP, db_num(r, 1, i, STEP_ROW), log_cols, COUNT(log_cols)));
    cJSON_AddItemToObject(t, "triggered", of_step(r, 5, TRIGGERED_STEP, db_num(r, 1, i, STEP_ROW), triggered_cols, COUNT(triggered_cols)));
    cJSON_AddItemToObject(t, "asking", of_step(r, 8, ASKING_STEP, db_num(r, 1, i, STEP_ROW), asking_cols, COUNT(asking_cols)));
    cJSON_AddItemToArray(steps, t);
  }
  cJSON_AddItemToObject(o, "changes", json_rows(r, 4, reason_cols, COUNT(reason_cols)));
  cJSON_AddNumberToObject(o, "changes_count", db_rows(r, 4) ? (double)db_num(r, 4, 0, CHANGES_COUNT) : 0);
  json_text(o, "since", db_rows(r, 4) && !db_null(r, 4, 0, CHANGES_SINCE) ? db_str(r, 4, 0, CHANGES_SINCE) : NULL);
  parent = json_row(r, 6, 0, parent_cols, COUNT(parent_cols));
  cJSON_AddItemToObject(o, "parent", cJSON_DetachItemFromObject(parent, "parent"));
  cJSON_Delete(parent);
  if (db_rows(r, 7))
    cJSON_AddItemToObject(o, "stamps", json_rows(r, 7, stamp_cols, COUNT(stamp_cols)));
  call_json(c, 200, o);
}

static void got_found(struct call *c, const struct db_res *r)
{
  struct db_tx *tx;
  int64_t id;

  if (db_rows(r, 0) > 1) {
    call_error(c, 409, "conflict", "name the project too", "several projects have this builder, among them %s and %s", db_str(r, 0, 0, 0), db_str(r, 0, 1, 0));
    return;
  }
  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", "`drover builders` lists them", "there is no such builder");
    return;
  }
  if (db_null(r, 0, 0, 1)) {
    call_error(c, 404, "not_found", NULL, "%s has no build %s", db_str(r, 0, 0, 0), call_arg(c, call_args(c) - 1));
    return;
  }
  id = db_num(r, 0, 0, 1);
  tx = call_tx(c);
  db_q(tx, SQL_api_build, "n", id);
  db_q(tx, SQL_api_build_steps, "n", id);
  db_q(tx, SQL_api_build_commands, "n", id);
  db_q(tx, SQL_api_build_logs, "n", id);
  db_q(tx, SQL_api_build_changes, "n", id);
  db_q(tx, SQL_api_build_triggered, "n", id);
  db_q(tx, SQL_api_build_parent, "n", id);
  db_q(tx, SQL_api_build_stamps, "n", id);
  db_q(tx, SQL_api_build_asking, "n", id);
  call_ask(c, tx, got_build);
}

/* Two round trips: "last" and short names are settled first, so that all of the answer is about one build. */
void read_build(struct call *c)
{
  int n = call_args(c);
  const char *project = n == 3 ? call_arg(c, 0) : NULL;
  struct db_tx *tx;
  int64_t number;

  if (!build_number(c, call_arg(c, n - 1), &number))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_build_find, "ssN", project, call_arg(c, n - 2), number);
  call_ask(c, tx, got_found);
}
