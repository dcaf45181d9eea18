/* drover worker restart, upgrade, drain: what a worker's agent is to do. The row says so from then on; the worker's session does it (workers/orders.c), on whichever master that is. */
#include "master/dispatch/actions_int.h"

#include <string.h>

#include "common/log.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/workers/session.h"

static void ordered(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  const char *what;
  struct session *s;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  what = db_str(res, 0, 0, 0);
  if (!strcmp(what, "unknown")) {
    acting_fail(a, 404, "not_found", "drover worker list shows them all", "there is no worker %.100s", a->id);
    return;
  }
  if (!strcmp(what, "removed")) {
    acting_fail(a, 409, "conflict", "drover worker add brings it back", "worker %.100s was removed", a->id);
    return;
  }
  log_info("worker", "%s: %s ordered by %s", a->id, a->builder, a->who);
  events_kick(a->m->events);
  dispatch_pauses_changed(a->m->dispatch);
  s = session_of_worker(a->m->sessions, db_num(res, 0, 0, 1));
  if (s)
    order_look(s);
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "worker", a->id);
  cJSON_AddBoolToObject(json, "connected", db_num(res, 0, 0, 2) != 0);
  cJSON_AddStringToObject(json, "what", a->builder);
  cJSON_AddNumberToObject(json, "number", (double)db_num(res, 0, 0, 3));
  acting_done(a, 202, json);
}

void act_worker_order(struct acting *a, enum action kind, const cJSON *args)
{
  const cJSON *given = cJSON_GetObjectItemCaseSensitive(args, "then"), *down = cJSON_GetObjectItemCaseSensitive(args, "downgrade");
  const char *then = kind == ACT_WORKER_RESTART ? "restart" : kind == ACT_WORKER_UPGRADE ? "upgrade" : !given || cJSON_IsNull(given) ? "stop" : act_string(args, "then");
  struct db_tx *tx;

  if (!then || (strcmp(then, "stop") && strcmp(then, "restart") && strcmp(then, "upgrade"))) {
    acting_fail(a, 400, "bad_request", NULL, "then wants stop, restart or upgrade");
    return;
  }
  if (down && !cJSON_IsNull(down) && !cJSON_IsBool(down)) {
    acting_fail(a, 400, "bad_request", NULL, "downgrade wants true or false");
    return;
  }
  a->builder = xstrdup(then);
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_order_set, "sslls", a->id, then, (int)(kind == ACT_WORKER_DRAIN), (int)cJSON_IsTrue(down), a->who);
  db_send(tx, ordered, a);
}
