/* What the reading handlers share: the columns of each kind of object, pages of lists, ids. */
#include "master/api/handlers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

const struct json_col build_cols[] = {
  { "id", JSON_TEXT }, { "number", JSON_NUM }, { "project", JSON_TEXT }, { "builder", JSON_TEXT }, { "state", JSON_TEXT }, { "result", JSON_RESULT }, { "why", JSON_TEXT },
  { "attempt", JSON_NUM }, { "request", JSON_TEXT }, { "buildset", JSON_TEXT }, { "worker", JSON_TEXT }, { "slot", JSON_NUM }, { "branch", JSON_TEXT }, { "revision", JSON_TEXT },
  { "got_revision", JSON_TEXT }, { "reason", JSON_TEXT }, { "started", JSON_TIME }, { "finished", JSON_TIME }, { "duration", JSON_NUM }, { "now", JSON_RAW }, { "expected", JSON_NUM },
  { "row", JSON_SKIP },
};
const struct json_col request_cols[] = {
  { "id", JSON_TEXT }, { "buildset", JSON_TEXT }, { "project", JSON_TEXT }, { "builder", JSON_TEXT }, { "state", JSON_TEXT }, { "result", JSON_RESULT }, { "why", JSON_TEXT },
  { "priority", JSON_NUM }, { "attempts", JSON_NUM }, { "branch", JSON_TEXT }, { "revision", JSON_TEXT }, { "reason", JSON_TEXT }, { "tags", JSON_RAW },
  { "created", JSON_TIME }, { "claimed", JSON_TIME }, { "finished", JSON_TIME }, { "builds", JSON_RAW }, { "needs", JSON_RAW }, { "wants", JSON_RAW }, { "reported_by", JSON_TEXT },
  { "collapsed_into", JSON_TEXT }, { "stands_for", JSON_RAW }, { "row", JSON_SKIP },
};
const struct json_col buildset_cols[] = {
  { "id", JSON_TEXT }, { "state", JSON_TEXT }, { "result", JSON_RESULT }, { "scheduler", JSON_TEXT }, { "reason", JSON_TEXT }, { "who", JSON_TEXT }, { "project", JSON_TEXT },
  { "branch", JSON_TEXT }, { "revision", JSON_TEXT }, { "changes", JSON_RAW }, { "created", JSON_TIME }, { "finished", JSON_TIME }, { "patch", JSON_RAW }, { "parent", JSON_RAW }, { "codebase", JSON_TEXT }, { "stamps", JSON_RAW },
  { "lineage", JSON_RAW },
};
const struct json_col change_cols[] = {
  { "id", JSON_TEXT }, { "project", JSON_TEXT }, { "branch", JSON_TEXT }, { "revision", JSON_TEXT }, { "previous", JSON_TEXT }, { "author", JSON_TEXT }, { "author_at", JSON_TIME },
  { "message", JSON_TEXT }, { "files", JSON_RAW }, { "told_by", JSON_TEXT }, { "state", JSON_TEXT }, { "error", JSON_TEXT }, { "created", JSON_TIME }, { "buildsets", JSON_RAW },
  { "requests", JSON_RAW }, { "kind", JSON_TEXT }, { "number", JSON_NUM }, { "properties", JSON_RAW }, { "url", JSON_TEXT }, { "approved_by", JSON_TEXT }, { "approved_at", JSON_TIME },
  { "committer", JSON_TEXT }, { "category", JSON_TEXT }, { "codebase", JSON_TEXT }, { "stamps", JSON_RAW }, { "row", JSON_SKIP },
};
const struct json_col worker_cols[] = {
  { "name", JSON_TEXT }, { "connected", JSON_BOOL }, { "since", JSON_TIME }, { "lost_at", JSON_TIME }, { "slots", JSON_NUM }, { "used", JSON_NUM }, { "tags", JSON_RAW },
  { "facts", JSON_RAW }, { "peer", JSON_TEXT }, { "instance", JSON_TEXT }, { "removed", JSON_TIME }, { "weight", JSON_NUM }, { "calendar", JSON_TEXT },
  { "quarantine", JSON_RAW }, { "pool", JSON_TEXT }, { "other_version", JSON_BOOL }, { "order", JSON_RAW }, { "tools", JSON_RAW }, { "tools_at", JSON_TIME },
  { "paused", JSON_RAW }, { "runs", JSON_RAW }, { "master", JSON_TEXT }, { "ssh", JSON_RAW },
};
const struct json_col folder_cols[] = {
  { "path", JSON_TEXT }, { "project", JSON_TEXT }, { "builder", JSON_TEXT }, { "slot", JSON_NUM }, { "state", JSON_TEXT }, { "bytes", JSON_NUM }, { "complete", JSON_BOOL },
  { "measured_at", JSON_TIME }, { "last_used", JSON_TIME }, { "build", JSON_TEXT }, { "wanted_at", JSON_TIME }, { "wanted_by", JSON_TEXT }, { "error", JSON_TEXT },
  { "tries", JSON_NUM }, { "due_at", JSON_TIME },
};
_Static_assert(COUNT(build_cols) == BUILD_COLS && COUNT(request_cols) == REQUEST_COLS && COUNT(buildset_cols) == BUILDSET_COLS && COUNT(change_cols) == CHANGE_COLS &&
               COUNT(worker_cols) == WORKER_COLS && COUNT(folder_cols) == FOLDER_COLS, "handlers.h");

/* Ids may come with their letter. */
static bool number(const char *text, int64_t *n)
{
  if (*text >= 'a' && *text <= 'z')
    text++;
  return !str_number(text, strlen(text), n);
}

bool page_get(struct call *c, struct page *p)
{
  const char *limit = call_query(c, "limit"), *before = call_query(c, "before");

  *p = (struct page){ INT64_MIN, LIST_DEFAULT };
  if (limit && (str_number(limit, strlen(limit), &p->limit) || p->limit < 1 || p->limit > LIST_MAX))
    call_error(c, 400, "bad_request", NULL, "limit is a number from 1 to %d", LIST_MAX);
  else if (before && !number(before, &p->before))
    call_error(c, 400, "bad_request", NULL, "before is the `next` of the page before");
  else
    return true;
  return false;
}

void page_json(struct call *c, const struct db_res *r, int stmt, const struct json_col *cols, int n, const struct page *p)
{
  page_items(c, r, stmt, json_rows(r, stmt, cols, n), n, p);
}

void page_items(struct call *c, const struct db_res *r, int stmt, cJSON *items, int n, const struct page *p)
{
  cJSON *body = cJSON_CreateObject();
  int rows = db_rows(r, stmt);

  cJSON_AddItemToObject(body, "items", items);
  if (rows && rows == p->limit)
    json_num(body, "next", db_num(r, stmt, rows - 1, n - 1));
  else
    cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

bool id_get(struct call *c, const char *text, char letter, int64_t *id)
{
  const char *digits = *text == letter ? text + 1 : text;

  if (!str_number(digits, strlen(digits), id))
    return true;
  call_error(c, 404, "not_found", NULL, "an id here looks like %c12", letter);
  return false;
}

bool build_number(struct call *c, const char *text, int64_t *number)
{
  *number = INT64_MIN;
  if (!strcmp(text, "last") || !str_number(text, strlen(text), number))
    return true;
  call_error(c, 404, "not_found", NULL, "a build has a number, or is the `last`");
  return false;
}

bool builder_get(struct call *c, const char *text, char **project, char **name)
{
  const char *slash = strchr(text, '/');

  if (!slash || slash == text || !slash[1] || strchr(slash + 1, '/')) {
    call_error(c, 400, "bad_request", NULL, "a builder is named project/builder");
    return false;
  }
  *project = xstrndup(text, (size_t)(slash - text));
  *name = xstrdup(slash + 1);
  return true;
}
