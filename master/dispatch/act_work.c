/* drover worker clean: which folders are wanted gone. The rows say so from then on; the worker's session does it (workers/work.c). */
#include "master/dispatch/actions_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/conf/pipeline.h"
#include "master/core/master.h"
#include "master/events/events.h"
#include "master/workers/session.h"

/* Statements of the transaction. */
enum { WORKER, WANT };

static void clean_wanted(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json, *list, *one;
  struct session *s;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, WORKER)) {
    acting_fail(a, 404, "not_found", "drover worker list shows them all", "there is no worker %.100s", a->id);
    return;
  }
  if (a->builder && !db_rows(res, WANT)) {
    acting_fail(a, 404, "not_found", "drover worker show lists those that are there", "worker %.100s has no work folder of builder %s%s%.100s", a->id,
                a->project ? a->project : "", a->project ? "/" : "", a->builder);
    return;
  }
  s = session_of_worker(a->m->sessions, db_num(res, WORKER, 0, 0));
  if (s)
    work_kick_now(s);
  events_kick(a->m->events);
  log_info("worker", "%s: %d work folders are to be removed, says %s", a->id, db_rows(res, WANT), a->who);
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "worker", a->id);
  cJSON_AddBoolToObject(json, "connected", db_num(res, WORKER, 0, 1) != 0);
  list = cJSON_AddArrayToObject(json, "folders");
  for (int i = 0; i < db_rows(res, WANT); i++) {
    cJSON_AddItemToArray(list, one = cJSON_CreateObject());
    cJSON_AddStringToObject(one, "path", db_str(res, WANT, i, 0));
    cJSON_AddItemToObject(one, "bytes", db_null(res, WANT, i, 1) ? cJSON_CreateNull() : cJSON_CreateNumber((double)db_num(res, WANT, i, 1)));
    cJSON_AddItemToObject(one, "build", db_null(res, WANT, i, 2) ? cJSON_CreateNull() : cJSON_CreateString(db_str(res, WANT, i, 2)));
  }
  acting_done(a, 202, json);
}

void act_worker_clean(struct acting *a, const cJSON *args)
{
  const cJSON *given = cJSON_GetObjectItemCaseSensitive(args, "builder");
  const char *builder = act_string(args, "builder"), *slash = builder ? strchr(builder, '/') : NULL;
  struct db_tx *tx;

  if (given && !cJSON_IsNull(given) &&
      (!builder || (slash && !str_is_name(builder, (size_t)(slash - builder))) || !pipeline_is_builder(slash ? slash + 1 : builder, strlen(slash ? slash + 1 : builder)))) {
    acting_fail(a, 400, "bad_request", "as project/builder, or builder in any project", "builder wants the name of a builder");
    return;
  }
  a->project = slash ? xstrndup(builder, (size_t)(slash - builder)) : NULL;
  a->builder = builder ? xstrdup(slash ? slash + 1 : builder) : NULL;
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_work_worker, "s", a->id);
  db_q(tx, SQL_work_want, "ssss", a->id, a->project, a->builder, a->who);
  db_send(tx, clean_wanted, a);
}
