/* Telling a change; workers and their tokens. */
#include "master/dispatch/actions_int.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/events/events.h"
#include "master/schedulers/worlds.h"
#include "master/workers/session.h"
#include "proto/token.h"

enum { SLOTS_MAX = 1000, MESSAGE_MAX = 65536, HOST_MAX = 256 };

static void change_made(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json;
  char id[32];

  if (acting_db_failed(a, res))
    return;
  events_kick(a->m->events);
  worlds_kick(a->m->worlds);
  json = cJSON_CreateObject();
  snprintf(id, sizeof id, "c%" PRId64, db_num(res, 0, 0, 0));
  cJSON_AddStringToObject(json, "change", id);
  cJSON_AddBoolToObject(json, "new", db_num(res, 0, 0, 1) != 0);
  acting_done(a, db_num(res, 0, 0, 1) ? 201 : 200, json);
}

static char *change_json(const cJSON *args)
{
  static const struct { const char *key; bool text; } copied[] = { { "revision", true }, { "author", true }, { "committer", true }, { "category", true }, { "message", true }, { "files", false }, { "properties", false } };
  cJSON *c = cJSON_CreateObject();
  char *text;

  for (size_t i = 0; i < COUNT(copied); i++) {
    cJSON *it = cJSON_GetObjectItemCaseSensitive(args, copied[i].key);
    if (it && (!copied[i].text || cJSON_IsString(it)))
      cJSON_AddItemReferenceToObject(c, copied[i].key, it);
  }
  text = cJSON_PrintUnformatted(c);
  cJSON_Delete(c);
  return text;
}

void act_change(struct acting *a, const cJSON *args)
{
  const char *project = act_string(args, "project"), *branch = act_string(args, "branch"), *revision = act_string(args, "revision");
  const char *message = act_string(args, "message");
  const cJSON *files = cJSON_GetObjectItemCaseSensitive(args, "files"), *props = cJSON_GetObjectItemCaseSensitive(args, "properties");
  struct world *p = project ? worlds_find(a->m->worlds, project) : NULL;
  const struct conf_codebase *codebase;
  struct db_tx *tx;
  char *json;

  if (acting_too_early(a, p))
    return;
  if (!p) {
    acting_fail(a, project ? 404 : 400, project ? "not_found" : "bad_request", "projects are named in the site's configuration", "there is no project %.100s", project ? project : "(none given)");
    return;
  }
  codebase = acting_codebase(a, p, act_string(args, "codebase"), NULL);
  if (!codebase)
    return;
  if (!branch || !gith_is_branch(branch) || !revision || !gith_is_revision_of(codebase->vcs, revision) || (files && !cJSON_IsArray(files)) || (props && !cJSON_IsObject(props)) ||
      (message && strlen(message) > MESSAGE_MAX)) {
    acting_fail(a, 400, "bad_request", "branch: a branch name; revision: 7 to 64 hex digits, of Subversion a number; files: a list; properties: an object; message: at most 64 KiB", "the change is not complete");
    return;
  }
  json = change_json(args);
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_change_add, "nsssss", p->id, codebase->git ? codebase->git : "", branch, json, "change send", codebase->name);
  free(json);
  db_send(tx, change_made, a);
}

static void approved(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  const char *how;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0) || db_null(res, 0, 0, 0)) {
    acting_fail(a, 404, "not_found", "drover list changes shows the newest", "there is no change %.30s", a->id);
    return;
  }
  how = db_str(res, 0, 0, 0);
  if (!strcmp(how, "needless")) {
    acting_fail(a, 409, "conflict", "drover why tells what its schedulers say", "%.30s is no pull request that waits for approval", a->id);
    return;
  }
  if (!strcmp(how, "approved")) {
    log_info("change", "%s approved by %s", a->id, a->who);
    events_kick(a->m->events);
    worlds_kick(a->m->worlds);
  }
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "change", a->id);
  cJSON_AddStringToObject(json, "by", db_str(res, 0, 0, 1));
  cJSON_AddBoolToObject(json, "was", strcmp(how, "approved") != 0);
  acting_done(a, 200, json);
}

void act_change_approve(struct acting *a)
{
  struct db_tx *tx;
  int64_t id;

  if (a->id[0] != 'c' || str_number(a->id + 1, strlen(a->id + 1), &id)) {
    acting_fail(a, 400, "bad_request", "c12 is a change", "what is %.30s?", a->id);
    return;
  }
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_change_approve, "ns", id, a->who);
  db_send(tx, approved, a);
}

/* ---- workers ---- */

void acting_token(struct acting *a, const char *name, bool pool, unsigned char hash[32])
{
  struct master *m = a->m;
  char host[HOST_MAX] = "localhost", secret[TOKEN_SECRET_LEN + 1], *address;
  const char *kind = pool ? TOKEN_POOL : "";

  token_secret(secret);
  SHA256((unsigned char *)secret, strlen(secret), hash);
  if (m->workers_port) {
    gethostname(host, sizeof host - 1);
    address = m->conf->address ? xstrdup(m->conf->address) : xasprintf("%s:%d", host, m->workers_port);
    a->text = xasprintf("%s#spki-sha256:%s#%s%s:%s", address, m->pin, kind, name, secret);
    free(address);
  } else {
    a->text = xasprintf("unix:%s##%s%s:%s", m->conf->workers_socket ? m->conf->workers_socket : "", kind, name, secret);
  }
  mem_wipe(secret, sizeof secret);
}

void acting_part(struct acting *a, const char *worker)
{
  list_each(sit, sessions_list(a->m->sessions)) {
    struct session *s = list_of(sit, struct session, node);
    if (str_eq(s->name, worker))
      session_close(s, "stop");
  }
}

static void worker_added(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0)) {
    acting_fail(a, 409, "conflict", "drover pool list shows the pools", "%s is the name of a member of a pool", a->builder);
    return;
  }
  log_info("worker", "%s has a new token, made by %s", a->builder, a->who);
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "name", a->builder);
  cJSON_AddStringToObject(json, "token", a->text);
  cJSON_AddNumberToObject(json, "slots", (double)db_num(res, 0, 0, 1));
  acting_done(a, 201, json);
}

void act_worker_add(struct acting *a, const cJSON *args)
{
  const char *name = act_string(args, "name");
  const cJSON *slots = cJSON_GetObjectItemCaseSensitive(args, "slots"), *tags = cJSON_GetObjectItemCaseSensitive(args, "tags"), *it;
  unsigned char hash[SHA256_DIGEST_LENGTH];
  const char *list[64];
  const struct conf_pool *pool;
  char *array;
  int n = 0;
  struct db_tx *tx;

  if (!name || !str_is_name(name, strlen(name))) {
    acting_fail(a, 400, "bad_request", "1 to 64 letters, digits, dots, hyphens, underscores", "a worker needs a name");
    return;
  }
  if (slots && (!cJSON_IsNumber(slots) || slots->valuedouble < 1 || slots->valuedouble > SLOTS_MAX)) {
    acting_fail(a, 400, "bad_request", NULL, "slots want a number from 1 to %d", SLOTS_MAX);
    return;
  }
  cJSON_ArrayForEach(it, tags) {
    if (n == (int)COUNT(list) || !cJSON_IsString(it) || !str_is_name(it->valuestring, strlen(it->valuestring))) {
      acting_fail(a, 400, "bad_request", NULL, "tags want at most %d names", (int)COUNT(list));
      return;
    }
    list[n++] = it->valuestring;
  }
  pool = conf_pool_of_name(a->m->conf, name);
  if (pool) {
    acting_fail(a, 409, "conflict", "drover pool token NAME makes a pool's token", "%.100s is a name that the pool %s gives to its members", name, pool->is.name);
    return;
  }
  a->builder = xstrdup(name);
  acting_token(a, name, false, hash);
  array = db_text_array(list, n);
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_worker_add, "sbns", name, hash, sizeof hash, slots ? (int64_t)slots->valuedouble : INT64_C(1), array);
  free(array);
  db_send(tx, worker_added, a);
}

static void worker_removed(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0)) {
    acting_fail(a, 404, "not_found", NULL, "there is no worker %s", a->id);
    return;
  }
  acting_part(a, a->id);
  events_kick(a->m->events);
  log_info("worker", "%s removed by %s", a->id, a->who);
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "name", a->id);
  cJSON_AddBoolToObject(json, "removed", true);
  acting_done(a, 200, json);
}

void act_worker_remove(struct acting *a)
{
  struct db_tx *tx = db_tx(a->m->db, DB_ANY);

  db_q(tx, SQL_worker_remove, "s", a->id);
  db_send(tx, worker_removed, a);
}
