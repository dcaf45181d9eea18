/* Pausing and resuming, and priorities of what waits. */
#include "master/dispatch/actions_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"

#define PAUSE_MAX_MS (366LL * 24 * 3600 * 1000)
enum { PAUSE_WORD_MAX = 300, PRIORITY_MAX = 100 };

static void set(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  const char *what, *object;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  what = db_str(res, 0, 0, 0);
  object = db_str(res, 0, 0, 1);
  if (!strcmp(what, "unknown")) {
    acting_fail(a, 404, "not_found", "all, a project, PROJECT/BUILDER, a worker, or pool/NAME", "there is nothing called %.200s", a->id);
  } else if (!strcmp(what, "many")) {
    acting_fail(a, 409, "conflict", NULL, "\"%.100s\" may be several: %.300s", a->id, object);
  } else {
    log_info("pause", "%s: %s by %s%s%s", object, what, a->who, *a->reason ? ": " : "", a->reason);
    events_kick(a->m->events);
    dispatch_pauses_changed(a->m->dispatch);
    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "object", object);
    cJSON_AddStringToObject(json, "state", strcmp(what, "was") ? what : "not paused");
    acting_done(a, 200, json);
  }
}

void act_pause(struct acting *a, bool pausing, const cJSON *args)
{
  const char *word = act_string(args, "object"), *reason = act_string(args, "reason");
  const cJSON *ms = cJSON_GetObjectItemCaseSensitive(args, "for");
  bool timed = ms && !cJSON_IsNull(ms);
  struct db_tx *tx;

  if (!word || !*word || strlen(word) > PAUSE_WORD_MAX) {
    acting_fail(a, 400, "bad_request", "all, a project, PROJECT/BUILDER, a worker, or pool/NAME", "object: what?");
  } else if (timed && (!cJSON_IsNumber(ms) || ms->valuedouble < 1 || ms->valuedouble > (double)PAUSE_MAX_MS)) {
    acting_fail(a, 400, "bad_request", NULL, "for wants ms, from 1 to a year of them");
  } else {
    free(a->id);
    a->id = xstrdup(word);
    a->reason = xstrdup(reason ? reason : "");
    tx = db_tx(a->m->db, DB_ANY);
    db_q(tx, SQL_pause_set, "slssN", word, (int)pausing, a->who, *a->reason ? a->reason : NULL, timed ? (int64_t)ms->valuedouble : INT64_MIN);
    db_send(tx, set, a);
  }
}

static void prioritized(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json, *list;
  char text[32];

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0)) {
    acting_fail(a, 409, "conflict", NULL, "%.100s has nothing that waits, or does not exist", a->id);
    return;
  }
  events_kick(a->m->events);
  dispatch_kick(a->m->dispatch);
  json = cJSON_CreateObject();
  list = cJSON_AddArrayToObject(json, "requests");
  for (int i = 0; i < db_rows(res, 0); i++) {
    snprintf(text, sizeof text, "r%" PRId64, db_num(res, 0, i, 0));
    cJSON_AddItemToArray(list, cJSON_CreateString(text));
  }
  acting_done(a, 200, json);
}

void act_priority(struct acting *a, bool whole, const cJSON *args)
{
  const cJSON *n = cJSON_GetObjectItemCaseSensitive(args, "priority");
  struct db_tx *tx;
  int64_t id;

  if (a->id[0] != (whole ? 's' : 'r') || str_number(a->id + 1, strlen(a->id + 1), &id)) {
    acting_fail(a, 400, "bad_request", "r118 is a request, s77 a buildset", "what is %.200s?", a->id);
  } else if (!cJSON_IsNumber(n) || n->valuedouble != n->valueint || n->valueint < 0 || n->valueint > PRIORITY_MAX) {
    acting_fail(a, 400, "bad_request", NULL, "priority wants a whole number from 0 to %d", PRIORITY_MAX);
  } else {
    tx = db_tx(a->m->db, DB_ANY);
    db_q(tx, SQL_priority_set, "nnls", id, (int64_t)n->valueint, (int)whole, a->who);
    db_send(tx, prioritized, a);
  }
}
