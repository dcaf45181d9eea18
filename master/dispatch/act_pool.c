/* Pools: their tokens, and their end. What they are is the configuration's to say. */
#include "master/dispatch/actions_int.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/events/events.h"

static void no_pool(struct acting *a)
{
  acting_fail(a, 404, "not_found", "pools are declared in the site's configuration: pools: {NAME: {tags: [build]}}", "there is no pool %.100s", a->id);
}

static void token_made(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0)) {
    no_pool(a);
    return;
  }
  events_kick(a->m->events);
  log_info("worker", "the pool %s has a new token, made by %s", a->id, a->who);
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "name", a->id);
  cJSON_AddStringToObject(json, "token", a->text);
  acting_done(a, 201, json);
}

void act_pool_token(struct acting *a)
{
  unsigned char hash[SHA256_DIGEST_LENGTH];
  struct db_tx *tx;

  if (!conf_pool(a->m->conf, a->id)) {
    no_pool(a);
    return;
  }
  acting_token(a, a->id, true, hash);
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_pool_token, "sbs", a->id, hash, sizeof hash, a->who);
  db_send(tx, token_made, a);
}

static void removed(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  const char *what;
  char **members;
  cJSON *json;
  int n;

  if (acting_db_failed(a, res))
    return;
  what = db_str(res, 0, 0, 0);
  if (!strcmp(what, "unknown")) {
    no_pool(a);
    return;
  }
  if (!strcmp(what, "configured")) {
    acting_fail(a, 409, "conflict", "take it out of the configuration first (drover config activate)", "the pool %.100s is in the site's configuration", a->id);
    return;
  }
  members = db_texts(res, 0, 0, 1, &n);
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "name", a->id);
  cJSON_AddItemToObject(json, "members", cJSON_CreateStringArray((const char *const *)members, n));
  for (int i = 0; i < n; i++) {
    acting_part(a, members[i]);
    free(members[i]);
  }
  free(members);
  events_kick(a->m->events);
  log_info("worker", "the pool %s removed by %s, with %d members", a->id, a->who, n);
  acting_done(a, 200, json);
}

void act_pool_remove(struct acting *a)
{
  struct db_tx *tx = db_tx(a->m->db, DB_ANY);

  db_q(tx, SQL_pool_remove, "ss", a->id, a->who);
  db_send(tx, removed, a);
}
