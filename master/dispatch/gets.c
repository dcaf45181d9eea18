#include "master/dispatch/gets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/core/refusal.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/field.h"
#include "master/dispatch/lockbook.h"
#include "master/dispatch/reasons.h"
#include "master/dispatch/wanted.h"
#include "master/workers/session.h"

enum { FIRST_MAX = 24 }; /* "r118" */

/* ---- pure ---- */

/* Kinds of lines, those that are nearest to a begin first. */
static const char *const near[] = { "starting", "other", "lock", "slots", "quarantine", "disk", "calendar", "paused", "condition", "tag" };

static int rank(const cJSON *line)
{
  int i = 0;

  while (i < (int)COUNT(near) && !str_eq(near[i], cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, "kind"))))
    i++;
  return i;
}

static int64_t count(const cJSON *line, const char *key)
{
  return (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(line, key));
}

static void more_of(cJSON *line, const char *key, int64_t n)
{
  cJSON_SetNumberHelper(cJSON_GetObjectItemCaseSensitive(line, key), (double)(count(line, key) + n));
}

static cJSON *line_of(cJSON *items, const struct why *w, int64_t request)
{
  char first[FIRST_MAX];
  cJSON *line;

  cJSON_ArrayForEach(line, items)
    if (str_eq(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, "kind")), w->kind) && str_eq(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, "object")), w->object))
      return line;
  snprintf(first, sizeof first, "r%" PRId64, request);
  cJSON_AddItemToArray(items, line = cJSON_CreateObject());
  cJSON_AddStringToObject(line, "kind", w->kind);
  cJSON_AddStringToObject(line, "object", w->object);
  cJSON_AddStringToObject(line, "text", w->text);
  cJSON_AddNumberToObject(line, "requests", 0);
  cJSON_AddStringToObject(line, "first", first);
  cJSON_AddArrayToObject(line, "builders");
  cJSON_AddNumberToObject(line, "more", 0);
  return line;
}

void gets_add(cJSON *items, const struct why *w, const char *builder, int64_t request, int64_t n)
{
  cJSON *line = line_of(items, w, request), *builders = cJSON_GetObjectItemCaseSensitive(line, "builders"), *it;
  const char *first = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, "first"));
  char earlier[FIRST_MAX];

  more_of(line, "requests", n);
  if (strtoll(first + 1, NULL, 10) > request) {
    snprintf(earlier, sizeof earlier, "r%" PRId64, request);
    cJSON_SetValuestring(cJSON_GetObjectItemCaseSensitive(line, "first"), earlier);
  }
  cJSON_ArrayForEach(it, builders)
    if (str_eq(it->valuestring, builder))
      return;
  if (cJSON_GetArraySize(builders) < GETS_BUILDERS_MAX)
    cJSON_AddItemToArray(builders, cJSON_CreateString(builder));
  else
    more_of(line, "more", 1);
}

static bool before(const cJSON *a, const cJSON *b)
{
  return rank(a) != rank(b) ? rank(a) < rank(b) : count(a, "requests") > count(b, "requests");
}

void gets_sort(cJSON *items)
{
  int n = cJSON_GetArraySize(items);
  cJSON *sorted = cJSON_CreateArray(), *first, *it;

  while (n--) {
    first = items->child;
    cJSON_ArrayForEach(it, items)
      if (before(it, first))
        first = it;
    cJSON_AddItemToArray(sorted, cJSON_DetachItemViaPointer(items, first));
  }
  while ((it = cJSON_DetachItemFromArray(sorted, 0)))
    cJSON_AddItemToArray(items, it);
  cJSON_Delete(sorted);
}

/* ---- as it stands ---- */

struct gets {
  struct master *m;
  int64_t worker;
  question_told *told;
  void *arg;
};

enum { CLASSES, LOCKED }; /* statements */
enum { CLASS, PROJECT, BUILDER, TAGS, WANTS, COUNT_OF, FIRST };

/* Those of the class that wait for locks, each with its own place in a line. How many. */
static int64_t add_locked(struct gets *g, cJSON *items, const struct db_res *res, const char *class, const char *builder)
{
  int64_t n = 0;
  struct why w;

  for (int i = 0; i < db_rows(res, LOCKED); i++)
    if (!strcmp(db_str(res, LOCKED, i, 1), class) && why_locks(g->m, db_num(res, LOCKED, i, 0), false, &w)) {
      gets_add(items, &w, builder, db_num(res, LOCKED, i, 0), 1);
      n++;
    }
  return n;
}

static void add_class(struct gets *g, cJSON *items, struct field *f, int at, const struct db_res *res, int row)
{
  int64_t n = db_num(res, CLASSES, row, COUNT_OF);
  struct wanted wanted;
  char *builder;
  struct why w;

  wanted_row(&wanted, res, CLASSES, row, (struct wanted_cols){ PROJECT, BUILDER, TAGS, WANTS });
  builder = xasprintf("%s/%s", wanted.of.project, wanted.of.builder);
  why_one(g->m, f, at, &wanted.of, &w);
  if (str_eq(w.kind, "starting") || str_eq(w.kind, "other"))
    n -= add_locked(g, items, res, db_str(res, CLASSES, row, CLASS), builder);
  if (n > 0)
    gets_add(items, &w, builder, db_num(res, CLASSES, row, FIRST), n);
  free(builder);
  wanted_free(&wanted);
}

static void looked(struct db_res *res, void *arg)
{
  static struct field f;
  struct gets *g = arg;
  int at = 0;
  cJSON *body, *items;

  if (db_err(res) == ERR_FAILED)
    log_error("dispatch", "%s", db_errtext(res));
  field_gather(&f, g->m);
  while (at < f.n && f.of[at]->worker != g->worker)
    at++;
  if (db_err(res)) {
    g->told(g->arg, 503, refusal("database_away", "try again in a moment; drover status tells more", "the database is away"));
  } else if (at == f.n) {
    g->told(g->arg, 0, NULL);
  } else {
    body = cJSON_CreateObject();
    items = cJSON_AddArrayToObject(body, "items");
    for (int i = 0; i < db_rows(res, CLASSES); i++)
      add_class(g, items, &f, at, res, i);
    gets_sort(items);
    g->told(g->arg, 200, body);
  }
  free(g);
}

/* Requests that wait for a lock, as bigint[]; the caller frees it. */
static char *locked(const struct lockbook *b)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  buf_addc(&text, '{');
  for (int i = 0; i < b->nwaiters; i++)
    if (!b->waiters[i].step && b->waiters[i].at >= 0)
      buf_addf(&text, "%s%" PRId64, text.len > 1 ? "," : "", b->waiters[i].request);
  buf_addc(&text, '}');
  return buf_take(&text);
}

void gets_answer(struct session *s, const cJSON *args, int64_t wait_ms, question_told *told, void *arg)
{
  struct gets *g = xcalloc(1, sizeof *g);
  struct db_tx *tx = db_tx(s->m->db, DB_READ);
  char *requests = locked(dispatch_locks(s->m));

  (void)args, (void)wait_ms;
  *g = (struct gets){ s->m, s->worker, told, arg };
  db_q(tx, SQL_gets_classes, "n", (int64_t)REASONS_MAX);
  db_q(tx, SQL_gets_locked, "s", requests);
  free(requests);
  db_send(tx, looked, g);
}
