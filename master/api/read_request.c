/* Requests, buildsets and changes. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

static void got_requests(struct call *c, const struct db_res *r)
{
  page_items(c, r, 0, request_rows(c, r, 0), REQUEST_COLS, call_data(c, sizeof(struct page)));
}

/* Those of which there are few have an index each. */
static enum sql list_of_state(const char *state)
{
  if (str_eq(state, "waiting"))
    return SQL_api_requests_waiting;
  if (str_eq(state, "pending"))
    return SQL_api_requests_pending;
  return str_eq(state, "claimed") ? SQL_api_requests_claimed : SQL_api_requests;
}

void read_requests(struct call *c)
{
  const char *state = call_query(c, "state"), *builder = call_query(c, "builder"), *set = call_query(c, "buildset");
  struct page *p = call_data(c, sizeof *p);
  char *project = NULL, *name = NULL;
  int64_t id = 0;
  struct db_tx *tx;

  if (page_get(c, p) && (!builder || builder_get(c, builder, &project, &name)) && (!set || id_get(c, set, 's', &id))) {
    tx = call_tx(c);
    if (set)
      db_q(tx, SQL_api_requests_set, "Nsssnn", p->before, state, project, name, p->limit, id);
    else
      db_q(tx, list_of_state(state), "Nsssn", p->before, state, project, name, p->limit);
    call_ask(c, tx, got_requests);
  }
  free(project);
  free(name);
}

static void got_request(struct call *c, const struct db_res *r)
{
  if (db_rows(r, 0))
    call_json(c, 200, json_row(r, 0, 0, request_cols, REQUEST_COLS));
  else
    call_error(c, 404, "not_found", NULL, "there is no request %s", call_arg(c, 0));
}

void read_request(struct call *c)
{
  struct db_tx *tx;
  int64_t id;

  if (!id_get(c, call_arg(c, 0), 'r', &id))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_request, "n", id);
  call_ask(c, tx, got_request);
}

static void got_buildset(struct call *c, const struct db_res *r)
{
  cJSON *o;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", NULL, "there is no buildset %s", call_arg(c, 0));
    return;
  }
  o = json_row(r, 0, 0, buildset_cols, BUILDSET_COLS);
  cJSON_AddItemToObject(o, "requests", request_rows(c, r, 1));
  call_json(c, 200, o);
}

void read_buildset(struct call *c)
{
  struct db_tx *tx;
  int64_t id;

  if (!id_get(c, call_arg(c, 0), 's', &id))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_buildset, "n", id);
  db_q(tx, SQL_api_requests_set, "Nsssnn", INT64_MIN, (char *)NULL, (char *)NULL, (char *)NULL, (int64_t)LIST_MAX, id);
  call_ask(c, tx, got_buildset);
}

static void got_patch(struct call *c, const struct db_res *r)
{
  size_t n;
  const char *body = db_rows(r, 0) ? db_bytes(r, 0, 0, 0, &n) : NULL;

  if (!body) {
    call_error(c, 404, "not_found", NULL, "there is no buildset %s, or nothing is tried in it", call_arg(c, 0));
    return;
  }
  char *text = xstrndup(body, n);
  call_body_text(c, 200, "text/plain; charset=utf-8", text);
  free(text);
}

void read_patch(struct call *c)
{
  struct db_tx *tx;
  int64_t id;

  if (!id_get(c, call_arg(c, 0), 's', &id))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_patch, "n", id);
  call_ask(c, tx, got_patch);
}

static void got_changes(struct call *c, const struct db_res *r)
{
  page_json(c, r, 0, change_cols, CHANGE_COLS, call_data(c, sizeof(struct page)));
}

void read_changes(struct call *c)
{
  struct page *p = call_data(c, sizeof *p);
  struct db_tx *tx;

  if (!page_get(c, p))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_changes, "Nssns", p->before, call_query(c, "project"), call_query(c, "branch"), p->limit, call_query(c, "kind"));
  call_ask(c, tx, got_changes);
}

/* Of the first verdict that is `waits`; -1: there is none. */
static int waiting(const struct db_res *r)
{
  for (int i = 0; i < db_rows(r, 1); i++)
    if (!strcmp(db_str(r, 1, i, 1), "waits"))
      return i;
  return -1;
}

/* Why a change has caused nothing yet, in a sentence; what each scheduler says of it is in the verdicts. */
static void change_why(const struct db_res *r, struct buf *why)
{
  const char *state = db_str(r, 0, 0, 10), *error = db_str(r, 0, 0, 11);

  if (!strcmp(state, "reading"))
    buf_addf(why, *error ? "its pipeline could not be read yet and is tried again: %s" : "its pipeline is being read", error);
  else if (*error)
    buf_adds(why, error);
  else if (waiting(r) >= 0)
    buf_addf(why, "scheduler %s waits until no more changes come", db_str(r, 1, waiting(r), 0));
  else if (db_rows(r, 1) == 1)
    buf_addf(why, "scheduler %s: %s", db_str(r, 1, 0, 0), db_str(r, 1, 0, 3));
  else if (db_rows(r, 1))
    buf_addf(why, "none of its %d schedulers builds it", db_rows(r, 1));
  else
    buf_adds(why, "no scheduler of the pipeline is set off by changes");
}

static const struct json_col verdict_cols[] = {
  { "scheduler", JSON_TEXT }, { "verdict", JSON_TEXT }, { "rule", JSON_TEXT }, { "why", JSON_TEXT }, { "until", JSON_TIME }, { "buildset", JSON_TEXT },
};

static void got_change(struct call *c, const struct db_res *r)
{
  struct buf why;
  cJSON *o;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", NULL, "there is no change %s", call_arg(c, 0));
    return;
  }
  o = json_row(r, 0, 0, change_cols, CHANGE_COLS);
  buf_init(&why, BUF_NO_MAX);
  if (!strcmp(db_str(r, 0, 0, 13), "[]"))
    change_why(r, &why);
  json_text(o, "why", why.len ? buf_str(&why) : NULL);
  buf_free(&why);
  cJSON_AddItemToObject(o, "verdicts", json_rows(r, 1, verdict_cols, COUNT(verdict_cols)));
  call_json(c, 200, o);
}

void read_change(struct call *c)
{
  struct db_tx *tx;
  int64_t id;

  if (!id_get(c, call_arg(c, 0), 'c', &id))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_change, "n", id);
  db_q(tx, SQL_api_change_verdicts, "n", id);
  call_ask(c, tx, got_change);
}
