/* drover worker forget-ghosts: somebody has looked, and what was cancelled on a worker that is away runs no more. */
#include <stdlib.h>

#include "common/log.h"
#include "master/core/master.h"
#include "master/dispatch/actions_int.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"

static void forgotten(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  const char *what;
  cJSON *json, *list;
  char **builds;
  int n;

  if (acting_db_failed(a, res))
    return;
  what = db_str(res, 0, 0, 0);
  if (*what == 'u') {
    acting_fail(a, 404, "not_found", "drover worker list shows them all", "there is no worker %.100s", a->id);
    return;
  }
  if (*what == 'c') {
    acting_fail(a, 409, "conflict", NULL, "worker %.100s is connected: what was cancelled there ends by itself, and the worker says when", a->id);
    return;
  }
  events_kick(a->m->events);
  dispatch_kick(a->m->dispatch);
  builds = db_texts(res, 0, 0, 1, &n);
  log_info("worker", "%s: %d cancelled builds are forgotten, says %s", a->id, n, a->who);
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "worker", a->id);
  list = cJSON_AddArrayToObject(json, "builds");
  for (int i = 0; i < n; i++) {
    cJSON_AddItemToArray(list, cJSON_CreateString(builds[i]));
    free(builds[i]);
  }
  free(builds);
  acting_done(a, 200, json);
}

void act_forget_ghosts(struct acting *a)
{
  struct db_tx *tx = db_tx(a->m->db, DB_ANY);

  db_q(tx, SQL_forget_ghosts, "ss", a->id, a->who);
  db_send(tx, forgotten, a);
}
