/* What waits for a person: a build that was lost in a step that asks. */
#include "master/dispatch/actions_int.h"

#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"

static void approved(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  const char *how;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  how = db_str(res, 0, 0, 0);
  if (!*how) {
    acting_fail(a, 404, "not_found", NULL, "there is no request %s", a->id);
  } else if (strcmp(how, "approved")) {
    acting_fail(a, 409, "conflict", "drover why tells what it waits for", "%s waits for nobody's word, it is %s", a->id, how);
  } else {
    log_info("build", "%s approved by %s", a->id, a->who);
    events_kick(a->m->events);
    dispatch_kick(a->m->dispatch);
    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "request", a->id);
    cJSON_AddStringToObject(json, "by", a->who);
    acting_done(a, 200, json);
  }
}

void act_request_approve(struct acting *a)
{
  struct db_tx *tx;
  int64_t id;

  if (a->id[0] != 'r' || str_number(a->id + 1, strlen(a->id + 1), &id)) {
    acting_fail(a, 400, "bad_request", "r118 is a request", "what is %.200s?", a->id);
    return;
  }
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_request_approve, "ns", id, a->who);
  db_send(tx, approved, a);
}
