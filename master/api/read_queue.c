/* The queue: what waits for a worker, in the order of its turns, why, and when it will probably begin. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/dispatch/eta_now.h"
#include "master/dispatch/wanted.h"

void eta_json(cJSON *o, const struct eta_begin *begin)
{
  static const char *const names[ETA_CASES] = { [ETA_LOW] = "low", [ETA_LIKELY] = "likely", [ETA_HIGH] = "high" };
  int64_t now = clock_wall_ms();
  cJSON *eta;

  if (!begin) {
    cJSON_AddNullToObject(o, "eta");
    return;
  }
  eta = cJSON_AddObjectToObject(o, "eta");
  for (int k = 0; k < ETA_CASES; k++)
    json_ms(eta, names[k], now + begin->ms[k]);
}

static void waits(struct eta_now *e, const char *tags, const char *wants, const char *takes, const char *locks)
{
  struct wanted w;

  wanted_json(&w, "", "", tags, wants);
  eta_now_waits(e, &w.of, takes, locks);
  wanted_free(&w);
}

bool eta_of(struct call *c, const struct db_res *r, int before, int runs, struct eta_begin *out)
{
  enum { TAGS, WANTS, TAKES, LOCKS, ITSELF };
  struct eta_now *e = eta_now_new(call_master(c), r, runs);
  const struct eta_begin *begin = NULL;
  int n = db_rows(r, before);

  for (int i = 0; i < n; i++)
    waits(e, db_str(r, before, i, TAGS), db_str(r, before, i, WANTS), db_str(r, before, i, TAKES), db_str(r, before, i, LOCKS));
  eta_now_reckon(e);
  if (n && db_num(r, before, n - 1, ITSELF))
    begin = eta_now_get(e, n - 1);
  if (begin)
    *out = *begin;
  eta_now_free(e);
  return begin;
}

bool eta_tells(const char *kind)
{
  return str_eq(kind, "slots") || str_eq(kind, "starting") || str_eq(kind, "lock");
}

/* Columns of API_REQUEST, and behind them. */
enum { REQUEST_TAGS = 12, REQUEST_WANTS = 18, TAKES = REQUEST_COLS, LOCKS, TOTAL };

static bool row_tells(const cJSON *o)
{
  return eta_tells(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(o, "waits"), "kind")));
}

static void got_queue(struct call *c, const struct db_res *r)
{
  cJSON *body = cJSON_CreateObject(), *items = request_rows(c, r, 0), *o;
  struct eta_now *e = eta_now_new(call_master(c), r, 1);
  int row = 0, n = 0;

  cJSON_ArrayForEach(o, items) {
    if (row_tells(o))
      waits(e, db_str(r, 0, row, REQUEST_TAGS), db_str(r, 0, row, REQUEST_WANTS), db_str(r, 0, row, TAKES), db_str(r, 0, row, LOCKS));
    row++;
  }
  eta_now_reckon(e);
  cJSON_ArrayForEach(o, items)
    eta_json(o, row_tells(o) ? eta_now_get(e, n++) : NULL);
  eta_now_free(e);
  cJSON_AddItemToObject(body, "items", items);
  json_num(body, "total", row ? db_num(r, 0, 0, TOTAL) : 0);
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

/* Its begin, by ?limit=N. */
void read_queue(struct call *c)
{
  struct page p;
  struct db_tx *tx;

  if (!page_get(c, &p))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_queue, "n", p.limit);
  eta_now_ask(tx, call_master(c), INT64_MIN);
  call_ask(c, tx, got_queue);
}
