/* How a start and versions meet the database, and what reloads and starts say. */
#include "master/core/reload_int.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/core/master.h"
#include "master/core/place.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/schedulers/worlds.h"
#include "master/workers/dial.h"
#include "master/workers/session.h"

/* ---- what is said ---- */

/* The messages alone: a line of the file that is shown below one may hold a password. */
char *reload_brief(const struct diags *d)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < d->n; i++) {
    const struct diag *g = &d->v[i];
    buf_adds(&b, g->file);
    if (g->line)
      buf_addf(&b, ":%d:%d", g->line, g->column);
    buf_addf(&b, ": %s%s%s%s\n", g->message, g->help ? " (" : "", g->help ? g->help : "", g->help ? ")" : "");
  }
  return buf_take(&b);
}

char *reload_text(const struct diags *d)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  diag_print(d, &b);
  return buf_take(&b);
}

void reload_log(const char *text)
{
  for (size_t n; *text; text += n + (text[n] == '\n')) {
    n = strcspn(text, "\n");
    log_error("config", "%.*s", (int)n, text);
  }
}

/* ---- versions ---- */

void reload_put_in_place(struct reload *r)
{
  struct master *m = r->m;
  struct conf *old = m->conf;

  m->conf = r->next;
  if (m->conf->nsecrets)
    place_close();
  r->next = NULL;
  sessions_reload(m->sessions);
  dials_reload(m->dials, old);
  gith_set_max(m->gith, m->conf->helpers);
  dispatch_window_changed(m->dispatch, old->window_ms);
  conf_free(old);
}

void reload_hash(const char *text, char hex[65])
{
  unsigned char hash[SHA256_DIGEST_LENGTH];

  SHA256((const unsigned char *)text, strlen(text), hash);
  str_hex(hash, sizeof hash, hex);
}

void reload_put_version(struct reload *r, struct db_tx *tx, const struct conf *c, const char *how, const char *who, int64_t origin)
{
  char hex[65];

  reload_hash(c->text, hex);
  db_q(tx, SQL_config_activate, "ssssssNnn", hex, c->text, origin ? r->disk : hex, how, who, r->place, origin ? origin : INT64_MIN, (int64_t)c->nprojects, (int64_t)c->nworkers);
}

void reload_put_start(struct reload *r, struct db_tx *tx)
{
  const struct conf *c = r->m->conf;

  reload_hash(c->text, r->disk);
  db_q(tx, SQL_config_start, "sssnn", r->disk, c->text, r->place, (int64_t)c->nprojects, (int64_t)c->nworkers);
}

void reload_started(struct reload *r, const struct db_res *res)
{
  struct master *m = r->m;
  char *what;
  struct diags d;

  m->config_version = db_num(res, 0, 0, 0);
  if (db_null(res, 0, 0, 1))
    return;
  what = xasprintf("version %" PRId64, m->config_version);
  diag_init(&d);
  r->next = conf_of_text(what, db_str(res, 0, 0, 1), m->conf->file, &d);
  if (r->next)
    conf_check_restart(m->conf, r->next, &d);
  if (diag_count(&d)) {
    char *text = reload_brief(&d);
    reload_log(text);
    log_error("config", "version %" PRId64 ", to which was rolled back, can't be used any more: the files are", m->config_version);
    free(text);
    conf_free(r->next);
    r->next = NULL;
    r->unusable = true;
  } else {
    reload_put_in_place(r);
    worlds_replaced(m->worlds);
    r->hold.origin = db_num(res, 0, 0, 2);
    memcpy(r->hold.disk, r->disk, sizeof r->hold.disk);
    log_warn("config", "version %" PRId64 " is active, rolled back to %" PRId64 ": the files are as they were then, and not used", m->config_version, r->hold.origin);
  }
  diag_free(&d);
  free(what);
}

static void put_locks(struct db_tx *tx, const struct conf *c)
{
  cJSON *list = cJSON_CreateArray(), *o;
  char *text;

  for (int i = 0; i < c->nlocks; i++) {
    const struct conf_lock *l = &c->locks[i];
    cJSON_AddItemToArray(list, o = cJSON_CreateObject());
    cJSON_AddStringToObject(o, "name", l->name);
    cJSON_AddNumberToObject(o, "count", l->count);
    cJSON_AddItemToObject(o, "units", l->units ? cJSON_CreateStringArray((const char *const *)l->units, l->count) : cJSON_CreateArray());
    cJSON_AddBoolToObject(o, "per_worker", l->per_worker);
  }
  text = cJSON_PrintUnformatted(list);
  db_q(tx, SQL_locks_config, "s", text);
  free(text);
  cJSON_Delete(list);
}

static void put_pools(struct db_tx *tx, const struct conf *c)
{
  cJSON *list = cJSON_CreateArray(), *o;
  char *text;

  for (int i = 0; i < c->npools; i++) {
    const struct conf_pool *p = &c->pools[i];
    cJSON_AddItemToArray(list, o = cJSON_CreateObject());
    cJSON_AddStringToObject(o, "name", p->is.name);
    cJSON_AddNumberToObject(o, "slots", p->is.slots);
    cJSON_AddItemToObject(o, "tags", cJSON_CreateStringArray((const char *const *)p->is.tags, p->is.ntags));
    cJSON_AddNumberToObject(o, "weight", p->is.weight);
    if (p->is.calendar)
      cJSON_AddStringToObject(o, "calendar", p->is.calendar);
    if (p->max)
      cJSON_AddNumberToObject(o, "max", p->max);
    cJSON_AddNumberToObject(o, "forget", (double)p->forget_ms);
  }
  text = cJSON_PrintUnformatted(list);
  db_q(tx, SQL_pools_config, "s", text);
  free(text);
  cJSON_Delete(list);
}

void reload_put_workers(struct db_tx *tx, const struct conf *c)
{
  const char **names = xcalloc((size_t)c->nworkers + 1, sizeof *names);
  char *array;

  for (int i = 0; i < c->nworkers; i++) {
    names[i] = c->workers[i].name;
    array = db_text_array((const char *const *)c->workers[i].tags, c->workers[i].ntags);
    db_q(tx, SQL_worker_config, "snsns", c->workers[i].name, (int64_t)c->workers[i].slots, array, (int64_t)c->workers[i].weight, c->workers[i].calendar);
    free(array);
  }
  put_locks(tx, c);
  put_pools(tx, c);
  array = db_text_array(names, c->nworkers);
  db_q(tx, SQL_worker_unconfig, "s", array);
  free(array);
  free(names);
}

bool reload_doubtful(const struct reload *r)
{
  return (r->doubtful && r->sm.state != RELOAD_STORING) || r->unusable;
}

void reload_put_keep(struct reload *r, struct db_tx *tx)
{
  if (r->unusable)
    reload_put_version(r, tx, r->m->conf, "start", "", 0);
  else
    db_q(tx, SQL_config_keep, "ns", r->m->config_version, r->place);
}

void reload_settled(struct reload *r)
{
  r->doubtful = r->unusable = false;
}
