/* Secrets of the store: set, removed, encrypted anew. A value comes in, is encrypted, and is never told again. */
#include "master/dispatch/actions_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/secret.h"
#include "master/core/master.h"
#include "master/core/site_key.h"
#include "master/events/events.h"

static void changed(struct acting *a, int status, const char *what)
{
  cJSON *json = cJSON_CreateObject();
  const struct conf_secret *s = conf_secret(a->m->conf, a->id);

  events_kick(a->m->events);
  log_info("secret", "%s %s by %s", a->id, what, a->who);
  cJSON_AddStringToObject(json, "name", a->id);
  cJSON_AddBoolToObject(json, "declared", s && !s->file);
  acting_done(a, status, json);
}

/* ---- set ---- */

static void was_set(struct db_res *res, void *arg)
{
  struct acting *a = arg;

  if (!acting_db_failed(a, res))
    changed(a, 201, "set");
}

static void store(struct acting *a, const struct site_keys *keys, const char *value)
{
  unsigned char nonce[SITE_KEY_NONCE], *sealed = xmalloc(strlen(value) + SITE_KEY_TAG);
  struct db_tx *tx = db_tx(a->m->db, DB_ANY);
  uint64_t random;
  int64_t version;

  str_random(&random, sizeof random);
  version = (int64_t)(random >> 1);
  site_key_seal(keys, a->id, version, value, strlen(value), nonce, sealed);
  db_q(tx, SQL_secret_set, "snsbbs", a->id, version, keys->id[0], nonce, sizeof nonce, sealed, strlen(value) + SITE_KEY_TAG, a->who);
  free(sealed);
  db_send(tx, was_set, a);
}

/* True: the name can't be in the store; answered. */
static bool misplaced(struct acting *a, const char *name)
{
  const struct conf_secret *s = name ? conf_secret(a->m->conf, name) : NULL;

  if (!name || !str_is_name(name, strlen(name)))
    acting_fail(a, 400, "bad_request", "1 to 64 letters, digits, dots, hyphens, underscores, first a letter or digit", "a secret needs a name");
  else if (s && s->file)
    acting_fail(a, 409, "conflict", "write it there, or say `store: true` in the site's configuration", "the secret %s is in the file %.300s", name, s->file);
  else
    return false;
  return true;
}

void act_secret_set(struct acting *a, const cJSON *args)
{
  const char *name = act_string(args, "name"), *value = act_string(args, "value");
  struct site_keys keys;
  struct buf why;

  if (misplaced(a, name))
    return;
  free(a->id);
  a->id = xstrdup(name);
  buf_init(&why, BUF_NO_MAX);
  if (!value || !secret_fits(value, strlen(value), "the value", &why)) {
    acting_fail(a, 400, "bad_request", NULL, "%s", value ? buf_str(&why) : "a secret needs a value");
  } else if (site_keys_read(a->m->conf->state, true, &keys, &why)) {
    acting_fail(a, 500, "internal", "drover doctor tells more", "%s", buf_str(&why));
  } else {
    store(a, &keys, value);
    site_keys_wipe(&keys);
  }
  buf_free(&why);
}

/* ---- remove ---- */

static void removed(struct db_res *res, void *arg)
{
  struct acting *a = arg;

  if (acting_db_failed(a, res))
    return;
  if (db_rows(res, 0))
    changed(a, 200, "removed");
  else
    acting_fail(a, 404, "not_found", "drover secret list shows what there is", "there is no secret %.100s in the store", a->id);
}

void act_secret_remove(struct acting *a)
{
  struct db_tx *tx = db_tx(a->m->db, DB_ANY);

  db_q(tx, SQL_secret_remove, "ss", a->id, a->who);
  db_send(tx, removed, a);
}

/* ---- another key ---- */

static void rotated(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  struct site_keys keys;
  struct buf why;
  cJSON *json;

  if (acting_db_failed(a, res))
    return; /* both keys are there: called again, it goes on */
  buf_init(&why, BUF_NO_MAX);
  if (site_keys_read(a->m->conf->state, false, &keys, &why) || site_keys_trim(a->m->conf->state, &keys, &why)) {
    acting_fail(a, 500, "internal", "call it again", "the secrets have the new key, but the old one is not gone: %s", buf_str(&why));
  } else {
    events_kick(a->m->events);
    log_info("secret", "the site's key is %s now, of %" PRId64 " secrets, by %s", keys.id[0], a->number, a->who);
    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "key", keys.id[0]);
    cJSON_AddNumberToObject(json, "secrets", (double)a->number);
    cJSON_AddItemToObject(json, "unreadable", cJSON_Parse(a->text));
    acting_done(a, 200, json);
  }
  site_keys_wipe(&keys);
  buf_free(&why);
}

/* Into tx, under the first key. False: the key that it has is not here, or it is broken. */
static bool seal_again(const struct site_keys *keys, struct db_res *res, int row, struct db_tx *tx)
{
  const char *name = db_str(res, 0, row, 0), *key = db_str(res, 0, row, 2);
  int64_t version = db_num(res, 0, row, 1);
  unsigned char nonce[SITE_KEY_NONCE], *value, *sealed;
  size_t n, nn;
  const void *old = db_bytes(res, 0, row, 4, &n), *with = db_bytes(res, 0, row, 3, &nn);
  bool good;

  value = xcalloc(1, n + 1);
  good = nn == SITE_KEY_NONCE && !site_key_open(keys, key, name, version, with, old, n, value);
  if (good) {
    sealed = xmalloc(n);
    site_key_seal(keys, name, version, value, n - SITE_KEY_TAG, nonce, sealed);
    db_q(tx, SQL_secret_again, "snssbb", name, version, key, keys->id[0], nonce, sizeof nonce, sealed, n);
    free(sealed);
  }
  mem_wipe(value, n);
  free(value);
  return good;
}

static void have_all(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *lost = cJSON_CreateArray();
  struct site_keys keys;
  struct buf why;
  struct db_tx *tx;

  if (acting_db_failed(a, res)) {
    cJSON_Delete(lost);
    return;
  }
  buf_init(&why, BUF_NO_MAX);
  /* two keys: a rotation that was broken off goes on */
  if (site_keys_read(a->m->conf->state, true, &keys, &why) || (keys.n == 1 && site_keys_add(a->m->conf->state, &keys, &why))) {
    acting_fail(a, 500, "internal", "drover doctor tells more", "%s", buf_str(&why));
  } else {
    tx = db_tx(a->m->db, DB_ANY);
    for (int i = 0; i < db_rows(res, 0); i++)
      if (seal_again(&keys, res, i, tx))
        a->number++;
      else
        cJSON_AddItemToArray(lost, cJSON_CreateString(db_str(res, 0, i, 0)));
    a->text = cJSON_PrintUnformatted(lost);
    db_q(tx, SQL_site_key_rotated, "ssn", a->who, keys.id[0], a->number);
    db_send(tx, rotated, a);
  }
  site_keys_wipe(&keys);
  cJSON_Delete(lost);
  buf_free(&why);
}

void act_site_key_rotate(struct acting *a)
{
  struct db_tx *tx = db_tx(a->m->db, DB_ANY);

  db_q(tx, SQL_secrets_all, "");
  db_send(tx, have_all, a);
}
