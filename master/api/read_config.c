/* The configuration: its projects, its versions, and what the files on disk would change. */
#include "master/api/handlers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/conf/conf_diff.h"
#include "master/core/master.h"
#include "master/core/reload.h"
#include "master/dispatch/conf_json.h"
#include "master/schedulers/worlds.h"

/* ---- projects ---- */

/* name: as codebase_name (db/schema_0027.sql) makes it. */
static cJSON *heads_of(const struct db_res *r, const char *project)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < db_rows(r, 0); i++) {
    cJSON *o;
    if (strcmp(db_str(r, 0, i, 0), project))
      continue;
    o = cJSON_CreateObject();
    json_text(o, "branch", db_str(r, 0, i, 1));
    json_text(o, "revision", db_str(r, 0, i, 2));
    cJSON_AddItemToArray(list, o);
  }
  return list;
}

enum { STMT_HEADS, STMT_POLLS };
enum { POLL_NAME, POLL_MASTER, POLL_LOOKED, POLL_TROUBLE, POLL_SINCE, POLL_DUE, POLL_FAILURES };

/* How it goes with the looks at a repository. Of those that this master looks at it knows more than its row. */
static void put_polls(struct call *c, cJSON *o, const struct world *p, int codebase, const struct db_res *r)
{
  const struct world_look l = worlds_looks(p, codebase);
  int n = db_rows(r, STMT_POLLS), row = 0;
  bool ours = l.ours, known;
  int64_t looked = l.looked_ms ? l.looked_ms : INT64_MIN;
  const char *trouble = l.trouble;

  while (row < n && strcmp(db_str(r, STMT_POLLS, row, POLL_NAME), l.name))
    row++;
  known = row < n;
  if (!ours && known) {
    looked = db_ms(r, STMT_POLLS, row, POLL_LOOKED);
    trouble = db_null(r, STMT_POLLS, row, POLL_TROUBLE) ? NULL : db_str(r, STMT_POLLS, row, POLL_TROUBLE);
  }
  json_ms(o, "looked", looked);
  json_text(o, "trouble", trouble && call_is_tcp(c) ? "the last look at the repository failed" : trouble); /* the whole sentence may name an address with a password in it */
  json_ms(o, "trouble_since", !trouble ? INT64_MIN : ours || !known ? clock_wall_ms() - clock_mono_ms() + l.trouble_ms : db_ms(r, STMT_POLLS, row, POLL_SINCE));
  json_num(o, "failures", ours ? l.failures : known ? db_num(r, STMT_POLLS, row, POLL_FAILURES) : 0);
  json_ms(o, "next_look", ours ? l.next_ms : known ? db_ms(r, STMT_POLLS, row, POLL_DUE) : INT64_MIN);
  json_text(o, "master", known && !db_null(r, STMT_POLLS, row, POLL_MASTER) ? db_str(r, STMT_POLLS, row, POLL_MASTER) : NULL);
  cJSON_AddItemToObject(o, "heads", heads_of(r, l.name));
}

static void put_codebases(struct call *c, cJSON *o, const struct world *p, const struct db_res *r)
{
  cJSON *list = cJSON_AddArrayToObject(o, "codebases"), *it;

  for (int i = 0; conf_has_codebases(p->conf) && i < p->conf->ncodebases; i++) {
    cJSON_AddItemToArray(list, it = cJSON_CreateObject());
    json_text(it, "name", p->conf->codebases[i].name);
    cJSON_AddBoolToObject(it, "main", i == p->conf->main);
    put_polls(c, it, p, i, r);
  }
}

static void got_projects(struct call *c, const struct db_res *r)
{
  cJSON *body = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(body, "items");
  struct world *const *v;
  int n;

  v = worlds_all(call_master(c)->worlds, &n);
  for (int i = 0; i < n; i++) {
    const struct pipeline *p = v[i]->conf->pipeline;
    cJSON *o = cJSON_CreateObject(), *builders;
    json_text(o, "name", v[i]->conf->name);
    json_text(o, "pipeline", p ? "site" : "repository");
    builders = cJSON_AddArrayToObject(o, "builders");
    for (int k = 0; p && k < p->nbuilders; k++)
      cJSON_AddItemToArray(builders, cJSON_CreateString(p->builders[k].name));
    put_polls(c, o, v[i], v[i]->conf->main, r);
    put_codebases(c, o, v[i], r);
    cJSON_AddItemToArray(items, o);
  }
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

void read_projects(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_heads, "");
  db_q(tx, SQL_api_polls, "");
  call_ask(c, tx, got_projects);
}

/* ---- versions ---- */

/* Columns of API_CONFIG; the last is the text, or of a list why it was refused. */
enum { V_ID, V_CREATED, V_ACTIVATED, V_HOW, V_WHO, V_HOST, V_ORIGIN, V_PROJECTS, V_WORKERS, V_REFUSED, V_TIMES, V_SIZE, V_TEXT };

static cJSON *version_json(struct call *c, const struct db_res *r, int row)
{
  cJSON *o = cJSON_CreateObject(), *refused;

  json_num(o, "version", db_num(r, 0, row, V_ID));
  cJSON_AddBoolToObject(o, "active", db_num(r, 0, row, V_ID) == call_master(c)->config_version);
  json_text(o, "how", db_str(r, 0, row, V_HOW));
  json_text(o, "who", db_str(r, 0, row, V_WHO));
  json_text(o, "host", db_str(r, 0, row, V_HOST));
  json_ms(o, "origin", db_null(r, 0, row, V_ORIGIN) ? INT64_MIN : db_num(r, 0, row, V_ORIGIN));
  json_ms(o, "created", db_ms(r, 0, row, V_CREATED));
  json_ms(o, "activated", db_ms(r, 0, row, V_ACTIVATED));
  json_ms(o, "projects", db_null(r, 0, row, V_PROJECTS) ? INT64_MIN : db_num(r, 0, row, V_PROJECTS));
  json_ms(o, "workers", db_null(r, 0, row, V_WORKERS) ? INT64_MIN : db_num(r, 0, row, V_WORKERS));
  json_num(o, "size", db_num(r, 0, row, V_SIZE));
  if (db_null(r, 0, row, V_REFUSED)) {
    cJSON_AddNullToObject(o, "refused");
    return o;
  }
  refused = cJSON_AddObjectToObject(o, "refused");
  json_num(refused, "count", db_num(r, 0, row, V_REFUSED));
  json_num(refused, "times", db_num(r, 0, row, V_TIMES));
  json_text(refused, "text", call_is_tcp(c) ? NULL : db_str(r, 0, row, V_TEXT)); /* it may name places */
  return o;
}

static void got_config(struct call *c, const struct db_res *r)
{
  cJSON *o;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", "drover config history shows all", "there is no such version of the configuration");
    return;
  }
  o = version_json(c, r, 0);
  json_text(o, "text", db_str(r, 0, 0, V_TEXT));
  call_json(c, 200, o);
}

/* A version in the query; otherwise what is there already. False: answered. */
static bool version_get(struct call *c, const char *key, int64_t *id)
{
  const char *text = call_query(c, key);

  if (!text || !str_number(text, strlen(text), id))
    return true;
  call_error(c, 400, "bad_request", NULL, "%s is a number", key);
  return false;
}

void read_config(struct call *c)
{
  int64_t id = call_master(c)->config_version;
  struct db_tx *tx;

  if (!version_get(c, "version", &id))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_config, "n", id);
  call_ask(c, tx, got_config);
}

static void got_history(struct call *c, const struct db_res *r)
{
  const struct page *p = call_data(c, sizeof *p);
  cJSON *body = cJSON_CreateObject(), *items = cJSON_CreateArray();
  int n = db_rows(r, 0);

  for (int i = 0; i < n; i++)
    cJSON_AddItemToArray(items, version_json(c, r, i));
  cJSON_AddItemToObject(body, "items", items);
  json_ms(body, "next", n && n == p->limit ? db_num(r, 0, n - 1, V_ID) : INT64_MIN);
  call_json(c, 200, body);
}

void read_config_history(struct call *c)
{
  struct page *p = call_data(c, sizeof *p);
  struct db_tx *tx;

  if (!page_get(c, p))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_configs, "Nn", p->before, p->limit);
  call_ask(c, tx, got_history);
}

/* ---- differences ---- */

static void diff_json(struct call *c, int64_t version, bool valid, int count, const char *text, const struct conf_diff *diff)
{
  cJSON *o = cJSON_CreateObject();

  json_num(o, "version", version);
  cJSON_AddBoolToObject(o, "valid", valid);
  json_num(o, "count", count);
  json_text(o, "diagnostics", text);
  cJSON_AddItemToObject(o, "changes", conf_json_diff(diff));
  call_json(c, 200, o);
}

static void seen(const struct reload_seen *s, void *arg)
{
  struct call *c = arg;

  if (call_release(c))
    diff_json(c, call_master(c)->config_version, s->valid, s->count, s->text, s->diff);
}

struct span {
  int64_t from, to;
};

/* NULL: answered, or d tells. */
static struct conf *version_of(struct call *c, const struct db_res *r, int64_t id, bool *told, struct diags *d)
{
  char *what = xasprintf("version %" PRId64, id);
  struct conf *conf = NULL;
  int row = 0;

  while (row < db_rows(r, 0) && db_num(r, 0, row, 0) != id)
    row++;
  *told = row == db_rows(r, 0) || !db_null(r, 0, row, 2);
  if (row == db_rows(r, 0))
    call_error(c, 404, "not_found", "drover config history shows all", "there is no %s of the configuration", what);
  else if (!db_null(r, 0, row, 2))
    call_error(c, 409, "conflict", "drover config history shows all", "%s was refused when it was new: it has no text", what);
  else
    conf = conf_of_text(what, db_str(r, 0, row, 1), NULL, d);
  free(what);
  return conf;
}

static void got_span(struct call *c, const struct db_res *r)
{
  const struct span *s = call_data(c, sizeof *s);
  struct conf_diff diff = { 0 };
  struct conf *from, *to = NULL;
  struct diags d;
  struct buf text;
  bool told;

  diag_init(&d);
  buf_init(&text, BUF_NO_MAX);
  from = version_of(c, r, s->from, &told, &d);
  if (!told)
    to = version_of(c, r, s->to, &told, &d);
  if (from && to)
    conf_diff(from, to, &diff);
  diag_print(&d, &text);
  if (!told)
    diff_json(c, s->to, from && to, diag_count(&d), buf_str(&text), &diff);
  conf_diff_free(&diff);
  buf_free(&text);
  diag_free(&d);
  conf_free(from);
  conf_free(to);
}

void read_config_diff(struct call *c)
{
  struct span *s = call_data(c, sizeof *s);
  struct db_tx *tx;

  s->from = INT64_MIN;
  s->to = call_master(c)->config_version;
  if (!version_get(c, "from", &s->from) || !version_get(c, "to", &s->to))
    return;
  if (s->from == INT64_MIN && call_query(c, "to")) {
    call_error(c, 400, "bad_request", NULL, "\"to\" wants \"from\" beside it");
  } else if (s->from == INT64_MIN) {
    call_hold(c);
    reload_look(call_master(c)->reload, seen, c);
  } else {
    tx = call_tx(c);
    db_q(tx, SQL_api_config_texts, "nn", s->from, s->to);
    call_ask(c, tx, got_span);
  }
}
