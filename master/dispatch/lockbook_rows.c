#include "master/dispatch/lockbook_rows.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "master/db/db.h"
#include "master/dispatch/wanted.h"

enum { ROWS, HOLDS, LINE };
/* Columns of lock_line. */
enum { REQUEST, BUILD, PRIORITY, STEP, WANTS, TAGS, PROJECT, BUILDER, WORKER, SINCE, FOREIGN, NEEDS };

void lockbook_ask(struct db_tx *tx, const char *takes, const char *known, int64_t master)
{
  db_q(tx, SQL_lock_rows, "");
  db_q(tx, SQL_lock_holds, "");
  db_q(tx, SQL_lock_line, "ssn", takes, known, master);
}

static void take_locks(struct lockbook *b, const struct db_res *res, int stmt)
{
  b->locks = xcalloc((size_t)db_rows(res, stmt) + 1, sizeof *b->locks);
  for (int i = 0; i < db_rows(res, stmt); i++) {
    struct lock_row *l = &b->locks[b->nlocks++];
    *l = (struct lock_row){ .id = db_num(res, stmt, i, 0), .name = db_dup(res, stmt, i, 1), .count = (int)db_num(res, stmt, i, 2),
                            .per_worker = db_num(res, stmt, i, 4) != 0, .gone = db_num(res, stmt, i, 5) != 0 };
    l->units = db_texts(res, stmt, i, 3, &l->nunits);
  }
}

static void take_holds(struct lockbook *b, const struct db_res *res, int stmt)
{
  b->holds = xcalloc((size_t)db_rows(res, stmt) + 1, sizeof *b->holds);
  for (int i = 0; i < db_rows(res, stmt); i++) {
    struct lock_hold *h = &b->holds[b->nholds++];
    int lock = 0;
    while (lock < b->nlocks && b->locks[lock].id != db_num(res, stmt, i, 0))
      lock++;
    *h = (struct lock_hold){ .lock = lock, .build = db_num(res, stmt, i, 1), .worker = db_num(res, stmt, i, 2), .step = (int)db_num(res, stmt, i, 3),
                             .n = (int)db_num(res, stmt, i, 4), .who = db_dup(res, stmt, i, 6), .ghost = db_num(res, stmt, i, 7) != 0 };
    h->units = db_texts(res, stmt, i, 5, &h->nunits);
    if (lock == b->nlocks) { /* rows of locks are never deleted; read a moment earlier, they may lack a new one */
      for (int k = 0; k < h->nunits; k++)
        free(h->units[k]);
      free(h->units);
      free(h->who);
      b->nholds--;
    }
  }
}

bool lock_want_of(const cJSON *it, const char **name, int *n)
{
  const cJSON *some = cJSON_GetObjectItemCaseSensitive(it, "n");

  *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "lock"));
  *n = cJSON_IsNumber(some) ? some->valueint : 0;
  return *name != NULL;
}

static void take_wants(const struct lockbook *b, struct lock_waiter *w, const char *json, bool *per_worker)
{
  cJSON *list = cJSON_Parse(json);
  const cJSON *it;
  const char *name;
  int n;

  *per_worker = false;
  cJSON_ArrayForEach(it, list) {
    struct lock_want *want = &w->wants[w->nwants];
    if (!lock_want_of(it, &name, &n) || w->nwants == PIPELINE_LOCKS_MAX)
      continue;
    *want = (struct lock_want){ .lock = lockbook_find(b, name), .n = n, .name = xstrdup(name) };
    *per_worker |= want->lock >= 0 && b->locks[want->lock].per_worker;
    w->nwants++;
  }
  cJSON_Delete(list);
}

static void take_foreign(struct lock_waiter *w, const struct db_res *res, int stmt, int row)
{
  int n;
  char **names = db_texts(res, stmt, row, FOREIGN, &n);

  for (int k = 0; k < n; k++) {
    for (int i = 0; i < w->nwants; i++)
      if (!strcmp(w->wants[i].name, names[k]))
        w->foreign |= 1u << i;
    free(names[k]);
  }
  free(names);
}

static void take_waiter(struct lockbook *b, const struct db_res *res, int stmt, int row, lockbook_could *could, void *arg)
{
  struct lock_waiter *w = &b->waiters[b->nwaiters++];
  struct wanted wanted;
  bool per_worker;

  *w = (struct lock_waiter){ .request = db_num(res, stmt, row, REQUEST), .build = db_num(res, stmt, row, BUILD), .priority = (int)db_num(res, stmt, row, PRIORITY),
                             .step = (int)db_num(res, stmt, row, STEP), .since_ms = db_null(res, stmt, row, SINCE) ? INT64_MIN : db_num(res, stmt, row, SINCE) };
  w->who = xasprintf("%s/%s", db_str(res, stmt, row, PROJECT), db_str(res, stmt, row, BUILDER));
  take_wants(b, w, db_str(res, stmt, row, WANTS), &per_worker);
  if (w->step) {
    w->workers = xcalloc(1, sizeof *w->workers);
    w->workers[w->nworkers++] = db_num(res, stmt, row, WORKER);
    return;
  }
  take_foreign(w, res, stmt, row);
  wanted_row(&wanted, res, stmt, row, (struct wanted_cols){ PROJECT, BUILDER, TAGS, NEEDS });
  w->nworkers = could(arg, &wanted.of, per_worker, &w->workers);
  wanted_free(&wanted);
}

void lockbook_take(struct lockbook *b, const struct db_res *res, int stmt, lockbook_could *could, void *arg)
{
  lockbook_clear(b);
  take_locks(b, res, stmt + ROWS);
  take_holds(b, res, stmt + HOLDS);
  b->waiters = xcalloc((size_t)db_rows(res, stmt + LINE) + 1, sizeof *b->waiters);
  for (int i = 0; i < db_rows(res, stmt + LINE); i++)
    take_waiter(b, res, stmt + LINE, i, could, arg);
}

char *lockbook_allowed(const struct lockbook *b)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  buf_addc(&text, '{');
  for (int i = 0; i < b->nwaiters; i++)
    if (!b->waiters[i].step && b->waiters[i].worker >= 0)
      buf_addf(&text, "%s%" PRId64, text.len > 1 ? "," : "", b->waiters[i].request);
  buf_addc(&text, '}');
  return buf_take(&text);
}

static char *printed(cJSON *json)
{
  char *text = cJSON_PrintUnformatted(json);

  cJSON_Delete(json);
  return text;
}

char *lockbook_waiting(const struct lockbook *b)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < b->nwaiters; i++) {
    const struct lock_waiter *w = &b->waiters[i];
    bool next = w->worker >= 0 && w->since_ms != INT64_MIN; /* it waited, and is about to be claimed */
    cJSON *o, *line;
    if (w->step || !w->nworkers || (!w->lines && !next))
      continue;
    cJSON_AddItemToArray(list, o = cJSON_CreateObject());
    cJSON_AddNumberToObject(o, "request", (double)w->request);
    line = cJSON_AddArrayToObject(o, "line");
    for (int k = 0; k < w->nwants; k++)
      if (next || w->lines & 1u << k)
        cJSON_AddItemToArray(line, cJSON_CreateString(w->wants[k].name));
  }
  return printed(list);
}

static cJSON *add_want(cJSON *list, const char *name, int n)
{
  cJSON *o = cJSON_CreateObject();

  cJSON_AddItemToArray(list, o);
  cJSON_AddStringToObject(o, "lock", name);
  if (n)
    cJSON_AddNumberToObject(o, "n", n);
  return o;
}

char *lockbook_given(const struct lockbook *b, const struct lock_waiter *w)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < w->nwants; i++) {
    cJSON *units = cJSON_AddArrayToObject(add_want(list, w->wants[i].name, w->wants[i].n), "units");
    for (int k = 0; k < w->ngot[i]; k++)
      cJSON_AddItemToArray(units, cJSON_CreateString(b->locks[w->wants[i].lock].units[w->got[i][k]]));
  }
  return printed(list);
}
