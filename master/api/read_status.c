/* The master as a whole. Status is answered with the database away too: what memory knows, and why the rest is missing. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/core/reload.h"
#include "master/db/private_pg.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pauses.h"
#include "master/events/events.h"
#include "master/workers/link.h"
#include "master/workers/ssh_keys.h"

enum { HOST_MAX = 256, SIZE_MS = 60000 /* asking for the size looks at every file of the database */ };

static struct {
  int64_t bytes, at; /* at 0: never asked */
} size;

static void add_database(cJSON *o, struct master *m, const char *version)
{
  cJSON *d = cJSON_AddObjectToObject(o, "database");

  cJSON_AddBoolToObject(d, "up", !m->db_why && db_is_up(m->db));
  cJSON_AddBoolToObject(d, "private", m->ppg != NULL);
  json_text(d, "version", version ? version : m->ppg ? ppg_version(m->ppg) : NULL);
  json_text(d, "folder", m->ppg ? ppg_folder(m->ppg) : NULL);
  json_text(d, "why", m->db_why);
  json_ms(d, "size", size.at ? size.bytes : INT64_MIN);
}

/* Over TCP without what may quote a file. */
static void add_refused(cJSON *o, const struct reload_refusal *r, bool tcp)
{
  cJSON *f;

  if (!r) {
    cJSON_AddNullToObject(o, "refused");
    return;
  }
  f = cJSON_AddObjectToObject(o, "refused");
  json_num(f, "at", r->at_ms);
  json_text(f, "text", tcp ? NULL : r->brief);
  json_num(f, "count", r->count);
}

/* "127.0.0.1:0" was listened on as "127.0.0.1:41873". */
static void add_address(cJSON *o, const char *field, const char *configured, int port)
{
  const char *colon = configured ? strrchr(configured, ':') : NULL;
  char *text = port && colon ? xasprintf("%.*s:%d", (int)(colon - configured), configured, port) : NULL;

  json_text(o, field, text);
  free(text);
}

static void add_config(cJSON *o, struct master *m, bool tcp)
{
  const struct reload_hold *held = reload_held(m->reload);
  cJSON *l = cJSON_AddObjectToObject(o, "listen"), *f;

  json_text(l, "socket", m->conf->socket);
  json_num(l, "api", m->api_port);
  json_num(l, "workers", m->workers_port);
  json_text(l, "pin", m->pin[0] ? m->pin : NULL);
  add_address(l, "page", m->conf->api, m->api_port);
  add_address(l, "join", m->conf->workers_listen, m->workers_port);
  json_text(l, "ssh_key", m->ssh_keys->line);
  json_text(l, "ssh_key_old", m->ssh_keys->line_old);
  f = cJSON_AddObjectToObject(o, "config");
  json_num(f, "version", m->config_version);
  json_ms(f, "origin", held->origin ? held->origin : INT64_MIN);
  json_text(f, "file", m->conf->file);
  json_num(f, "projects", m->conf->nprojects);
  json_num(f, "workers", m->conf->nworkers);
  add_refused(f, reload_refused(m->reload), tcp);
}

/* null: none was ever made; nothing at all where that is not known. */
static void add_backup(cJSON *o, const struct db_res *r)
{
  cJSON *b;

  if (!r)
    return;
  if (db_null(r, 3, 0, 0)) {
    cJSON_AddNullToObject(o, "backup");
    return;
  }
  b = cJSON_AddObjectToObject(o, "backup");
  json_num(b, "at", db_num(r, 3, 0, 0));
  json_num(b, "age_ms", db_num(r, 3, 0, 1));
}

static cJSON *pauses_json(struct call *c)
{
  const struct pauses *p = dispatch_pauses(call_master(c));
  cJSON *list = cJSON_CreateArray(), *o;

  for (int i = 0; i < p->n; i++) {
    cJSON_AddItemToArray(list, o = cJSON_CreateObject());
    json_text(o, "object", p->v[i].object);
    json_text(o, "who", p->v[i].who);
    json_text(o, "reason", p->v[i].why);
    json_num(o, "since", p->v[i].since);
    json_ms(o, "until", p->v[i].until);
  }
  return list;
}

static void got_pauses(struct call *c, const struct db_res *r)
{
  static const struct json_col cols[] = { { "object", JSON_TEXT }, { "who", JSON_TEXT }, { "reason", JSON_TEXT }, { "since", JSON_NUM }, { "until", JSON_NUM } };
  cJSON *o = cJSON_CreateObject();

  cJSON_AddItemToObject(o, "items", json_rows(r, 0, cols, COUNT(cols)));
  cJSON_AddNullToObject(o, "next");
  call_json(c, 200, o);
}

void read_pauses(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_pauses, "");
  call_ask(c, tx, got_pauses);
}

/* r NULL: the database is away. */
static void answer_status(struct call *c, const struct db_res *r)
{
  struct master *m = call_master(c);
  cJSON *o = cJSON_CreateObject(), *counts;
  char host[HOST_MAX] = "";

  gethostname(host, sizeof host - 1);
  json_text(o, "version", DROVER_VERSION);
  json_text(o, "host", host);
  json_text(o, "cluster", m->cluster);
  json_num(o, "incarnation", m->incarnation);
  json_num(o, "up_ms", clock_mono_ms() - m->started_ms);
  add_database(o, m, r ? db_str(r, 0, 0, 3) : NULL);
  add_backup(o, r);
  add_config(o, m, call_is_tcp(c));
  counts = cJSON_AddObjectToObject(o, "counts");
  json_ms(counts, "pending", r ? db_num(r, 0, 0, 0) : INT64_MIN);
  json_ms(counts, "waiting", r ? db_num(r, 0, 0, 4) : INT64_MIN);
  json_ms(counts, "running", r ? db_num(r, 0, 0, 1) : INT64_MIN);
  json_num(counts, "workers_connected", r ? db_num(r, 0, 0, 2) : m->links ? link_count(m->links) : 0);
  cJSON_AddItemToObject(o, "pauses", pauses_json(c));
  cJSON_AddItemToObject(o, "running", r ? json_rows(r, 1, build_cols, BUILD_COLS) : cJSON_CreateArray());
  cJSON_AddItemToObject(o, "waiting", r ? request_rows(c, r, 2) : cJSON_CreateArray());
  cJSON_AddItemToObject(o, "ended", r ? json_rows(r, 5, build_cols, BUILD_COLS) : cJSON_CreateArray());
  json_num(o, "event", m->events ? events_last(m->events) : 0);
  call_json(c, 200, o);
}

static void on_status(struct db_res *r, void *arg)
{
  struct call *c = arg;

  if (!db_err(r) && !db_null(r, 4, 0, 0)) {
    size.bytes = db_num(r, 4, 0, 0);
    size.at = clock_mono_ms();
  }
  if (call_release(c))
    answer_status(c, db_err(r) ? NULL : r);
}

/* Asked without call_ask, which would answer 503 for us. */
void read_status(struct call *c)
{
  struct db_tx *tx;

  if (!db_is_up(call_master(c)->db)) {
    answer_status(c, NULL);
    return;
  }
  tx = call_tx(c);
  db_q(tx, SQL_api_counts, "");
  db_q(tx, SQL_api_status_running, "");
  db_q(tx, SQL_api_status_waiting, "");
  db_q(tx, SQL_api_backup, "");
  db_q(tx, SQL_api_size, "l", !size.at || clock_mono_ms() - size.at > SIZE_MS);
  db_q(tx, SQL_api_status_ended, "");
  call_hold(c);
  db_send(tx, on_status, c);
}
