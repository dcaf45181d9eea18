/* drover worker key --rotate, --drop: another key by which masters log in to the hosts that they dial, and the end of the one before it. What is kept of it is an event; no key is in it. */
#include "master/dispatch/actions_int.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/core/secret_values.h"
#include "master/events/events.h"
#include "master/workers/ssh_key.h"
#include "master/workers/ssh_keys.h"

static void add_line(cJSON *o, const char *key, const char *line)
{
  if (line)
    cJSON_AddStringToObject(o, key, line);
  else
    cJSON_AddNullToObject(o, key);
}

static void rotated(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  if (str_eq(db_str(res, 0, 0, 0), "busy")) {
    acting_fail(a, 409, "conflict", "drover worker key --drop ends it", "a rotation of the ssh key is under way already");
    return;
  }
  events_kick(a->m->events);
  ssh_keys_take(a->m->ssh_keys, res, 1, 0, a->m->cluster);
  log_info("worker", "%s makes another ssh key", a->who);
  json = cJSON_CreateObject();
  add_line(json, "ssh_key", a->m->ssh_keys->line);
  add_line(json, "ssh_key_old", a->m->ssh_keys->line_old);
  acting_done(a, 201, json);
}

void act_ssh_key_rotate(struct acting *a)
{
  struct db_tx *tx;
  char *key;

  if (!a->m->ssh_keys->key || !db_is_up(a->m->db)) {
    acting_fail(a, 503, "database_away", "try again in a moment; drover status tells more", "the database is away");
    return;
  }
  key = ssh_key_make();
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_ssh_key_rotate, "ss", key, a->who);
  db_q(tx, SQL_ssh_keys, "");
  db_send(tx, rotated, a);
  secret_wipe(key);
}

/* The names, as JSON and as a sentence's part. */
static cJSON *names_of(struct db_res *res, struct buf *text)
{
  cJSON *list = cJSON_CreateArray();
  int n;
  char **names = db_texts(res, 0, 0, 1, &n);

  for (int i = 0; i < n; i++) {
    buf_addf(text, "%s%s", i ? ", " : "", names[i]);
    cJSON_AddItemToArray(list, cJSON_CreateString(names[i]));
    free(names[i]);
  }
  free(names);
  return list;
}

static void dropped(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  struct buf hosts;
  cJSON *json, *list;

  if (acting_db_failed(a, res))
    return;
  buf_init(&hosts, BUF_NO_MAX);
  list = names_of(res, &hosts);
  if (str_eq(db_str(res, 0, 0, 0), "none")) {
    acting_fail(a, 409, "conflict", "drover worker key --rotate makes another one", "there is no other ssh key than the one that counts");
    cJSON_Delete(list);
  } else if (str_eq(db_str(res, 0, 0, 0), "used")) {
    acting_fail(a, 409, "key_used", "put the line that `drover worker key` prints into authorized_keys there, then `drover worker restart NAME`; or --force, and these are not reached any more",
                "the hosts of these workers have not let the new ssh key in yet: %.1000s", buf_str(&hosts));
    cJSON_Delete(list);
  } else {
    events_kick(a->m->events);
    ssh_keys_take(a->m->ssh_keys, res, 1, 0, a->m->cluster);
    log_info("worker", "%s drops the ssh key of before the rotation", a->who);
    json = cJSON_CreateObject();
    add_line(json, "ssh_key", a->m->ssh_keys->line);
    cJSON_AddItemToObject(json, "hosts", list);
    acting_done(a, 200, json);
  }
  buf_free(&hosts);
}

void act_ssh_key_drop(struct acting *a, const cJSON *args)
{
  struct db_tx *tx = db_tx(a->m->db, DB_ANY);

  db_q(tx, SQL_ssh_key_drop, "ss", cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "force")) ? "t" : "f", a->who);
  db_q(tx, SQL_ssh_keys, "");
  db_send(tx, dropped, a);
}
