/* Cancel: the request's result is final at once; the build holds its slot until its processes are gone. */
#include "master/dispatch/actions_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/conf/pipeline.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/run.h"
#include "master/events/events.h"
#include "master/workers/session.h"

static enum err build_id(const char *id, char **project, char **builder, int64_t *number)
{
  const char *last = strrchr(id, '/'), *first = strchr(id, '/');

  *number = 0;
  if (!last || (strcmp(last + 1, "last") && str_number(last + 1, strlen(last + 1), number)))
    return ERR_SYNTAX;
  *project = first == last ? xstrdup("") : xstrndup(id, (size_t)(first - id));
  *builder = first == last ? xstrndup(id, (size_t)(last - id)) : xstrndup(first + 1, (size_t)(last - first - 1));
  if (pipeline_is_builder(*builder, strlen(*builder)) && (first == last || str_is_name(*project, strlen(*project))))
    return ERR_OK;
  free(*project);
  free(*builder);
  return ERR_SYNTAX;
}

bool act_build_id(struct acting *a, char **project, char **builder, int64_t *number)
{
  if (!build_id(a->id, project, builder, number))
    return true;
  acting_fail(a, 400, "bad_request", "PROJECT/BUILDER/NUMBER", "this is no build: %.200s", a->id);
  return false;
}

static void cancelled(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json, *list;
  char text[32];

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0)) {
    acting_fail(a, a->id[0] == 's' ? 409 : 404, a->id[0] == 's' ? "conflict" : "not_found", NULL, "%s has nothing left to cancel, or does not exist", a->id);
    return;
  }
  if (!db_null(res, 0, 0, 3)) {
    acting_fail(a, 409, "stands_for_others", "drover cancel --others, or {\"others\": true}, ends these too",
                "%s stands for requests of older changes too, which were collapsed into it and would end as cancelled with it: %.400s", a->id, db_str(res, 0, 0, 3));
    return;
  }
  json = cJSON_CreateObject();
  list = cJSON_AddArrayToObject(json, "requests");
  for (int i = 0; i < db_rows(res, 0); i++) {
    bool build = !db_null(res, 0, i, 2), was_done = !strcmp(db_str(res, 0, i, 1), "done");
    snprintf(text, sizeof text, "r%" PRId64, db_num(res, 0, i, 0));
    cJSON_AddItemToArray(list, cJSON_CreateString(text));
    if (i == 0) {
      cJSON_AddStringToObject(json, "request", text);
      cJSON_AddStringToObject(json, "state", was_done ? "done" : build ? "cancelling" : "cancelled");
    }
    if (build)
      run_cancel_build(a->m, db_num(res, 0, i, 2));
  }
  events_kick(a->m->events);
  dispatch_kick(a->m->dispatch);
  acting_done(a, 200, json);
}

static void cancel(struct acting *a, enum sql statement, int64_t id)
{
  struct db_tx *tx = db_tx(a->m->db, DB_ANY);

  db_q(tx, statement, "nss", id, a->reason, a->others ? "true" : "false");
  db_send(tx, cancelled, a);
}

static void build_read(struct db_res *res, void *arg)
{
  struct acting *a = arg;

  if (acting_db_failed(a, res))
    return;
  if (db_rows(res, 0))
    cancel(a, SQL_cancel_request, db_num(res, 0, 0, 0));
  else
    acting_fail(a, 404, "not_found", NULL, "there is no build %s", a->id);
}

void act_cancel(struct acting *a, enum action kind, const cJSON *args)
{
  const char *reason = act_string(args, "reason");
  char *project, *builder;
  int64_t id;
  struct db_tx *tx;

  a->reason = reason && *reason ? xasprintf("cancelled by %s: %.200s", a->who, reason) : xasprintf("cancelled by %s", a->who);
  a->others = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "others"));
  log_info("cancel", "%s %s", a->id, a->reason);
  if (kind == ACT_CANCEL_BUILD) {
    if (!act_build_id(a, &project, &builder, &id))
      return;
    tx = db_tx(a->m->db, DB_ANY);
    db_q(tx, SQL_request_of_build, "ssn", project, builder, id);
    free(project);
    free(builder);
    db_send(tx, build_read, a);
    return;
  }
  if (a->id[0] != (kind == ACT_CANCEL_REQUEST ? 'r' : 's') || str_number(a->id + 1, strlen(a->id + 1), &id)) {
    acting_fail(a, 400, "bad_request", "r118 is a request, s77 a buildset", "what is %.200s?", a->id);
    return;
  }
  cancel(a, kind == ACT_CANCEL_REQUEST ? SQL_cancel_request : SQL_cancel_set, id);
}
