/* The master as a whole, and its workers. Status is answered with the database away too: what memory knows, and why the rest is missing. */
#include "master/api/handlers.h"

#include <string.h>

#include "common/clock.h"
#include "master/core/conf.h"
#include "master/core/master.h"
#include "master/db/private_pg.h"
#include "master/events/events.h"
#include "master/workers/link.h"

void read_root(struct call *c)
{
  call_body_text(c, 200, "text/plain; charset=utf-8",
                 "drover " DROVER_VERSION "\n\n"
                 "The API is at /api/v1 (try /api/v1/status); over TCP it can be read only.\n"
                 "On the master's host the command line does everything: drover status, drover list, drover log BUILD.\n");
}

enum { SIZE_MS = 60000 }; /* asking for the size looks at every file of the database */

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

static void add_config(cJSON *o, struct master *m)
{
  cJSON *l = cJSON_AddObjectToObject(o, "listen"), *f;

  json_text(l, "socket", m->conf->socket);
  json_num(l, "api", m->api_port);
  json_num(l, "workers", m->workers_port);
  json_text(l, "pin", m->pin[0] ? m->pin : NULL);
  f = cJSON_AddObjectToObject(o, "config");
  json_num(f, "version", m->config_version);
  json_text(f, "file", m->conf->file);
  json_num(f, "projects", m->conf->nprojects);
  json_num(f, "workers", m->conf->nworkers);
}

static void add_backup(cJSON *o, const struct db_res *r)
{
  cJSON *b = cJSON_AddObjectToObject(o, "backup");

  json_ms(b, "at", r && !db_null(r, 3, 0, 0) ? db_num(r, 3, 0, 0) : INT64_MIN);
  json_ms(b, "age_ms", r && !db_null(r, 3, 0, 1) ? db_num(r, 3, 0, 1) : INT64_MIN);
}

/* r NULL: the database is away. */
static void answer_status(struct call *c, const struct db_res *r)
{
  struct master *m = call_master(c);
  cJSON *o = cJSON_CreateObject(), *counts;

  json_text(o, "version", DROVER_VERSION);
  json_text(o, "cluster", m->cluster);
  json_num(o, "incarnation", m->incarnation);
  json_num(o, "up_ms", clock_mono_ms() - m->started_ms);
  add_database(o, m, r ? db_str(r, 0, 0, 3) : NULL);
  add_backup(o, r);
  add_config(o, m);
  counts = cJSON_AddObjectToObject(o, "counts");
  json_ms(counts, "pending", r ? db_num(r, 0, 0, 0) : INT64_MIN);
  json_ms(counts, "running", r ? db_num(r, 0, 0, 1) : INT64_MIN);
  json_num(counts, "workers_connected", r ? db_num(r, 0, 0, 2) : m->links ? link_count(m->links) : 0);
  cJSON_AddItemToObject(o, "running", r ? json_rows(r, 1, build_cols, BUILD_COLS) : cJSON_CreateArray());
  cJSON_AddItemToObject(o, "waiting", r ? json_rows(r, 2, request_cols, REQUEST_COLS) : cJSON_CreateArray());
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
  call_hold(c);
  db_send(tx, on_status, c);
}

static void got_workers(struct call *c, const struct db_res *r)
{
  cJSON *body = cJSON_CreateObject();

  cJSON_AddItemToObject(body, "items", json_rows(r, 0, worker_cols, WORKER_COLS));
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

/* The whole list, by name: a site has as many workers as somebody has set up. */
void read_workers(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_workers, "");
  call_ask(c, tx, got_workers);
}

static void got_worker(struct call *c, const struct db_res *r)
{
  cJSON *o;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", NULL, "there is no worker %s", call_arg(c, 0));
    return;
  }
  o = json_row(r, 0, 0, worker_cols, WORKER_COLS);
  cJSON_AddItemToObject(o, "running", json_rows(r, 1, build_cols, BUILD_COLS));
  call_json(c, 200, o);
}

void read_worker(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_worker, "s", call_arg(c, 0));
  db_q(tx, SQL_api_worker_builds, "s", call_arg(c, 0));
  call_ask(c, tx, got_worker);
}
