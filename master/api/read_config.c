/* The configuration: its projects, its versions, and what the files on disk would change. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf_diff.h"
#include "master/core/master.h"
#include "master/core/reload.h"
#include "master/dispatch/conf_json.h"
#include "master/schedulers/worlds.h"

/* ---- projects ---- */

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

/* How it goes with the looks at its repository. Of those that this master looks at it knows more than its row. */
static void put_polls(struct call *c, cJSON *o, const struct world *p, const struct db_res *r)
{
  int n = db_rows(r, STMT_POLLS), row = 0;
  bool ours = worlds_polls(p), known;
  int64_t looked = p->looked_ms ? p->looked_ms : INT64_MIN;
  const char *trouble = p->trouble;

  while (row < n && strcmp(db_str(r, STMT_POLLS, row, POLL_NAME), p->conf->name))
    row++;
  known = row < n;
  if (!ours && known) {
    looked = db_ms(r, STMT_POLLS, row, POLL_LOOKED);
    trouble = db_null(r, STMT_POLLS, row, POLL_TROUBLE) ? NULL : db_str(r, STMT_POLLS, row, POLL_TROUBLE);
  }
  json_ms(o, "looked", looked);
  json_text(o, "trouble", trouble && call_is_tcp(c) ? "the last look at the repository failed" : trouble); /* the whole sentence may name an address with a password in it */
  json_num(o, "failures", ours ? worlds_failures(p) : known ? db_num(r, STMT_POLLS, row, POLL_FAILURES) : 0);
  json_ms(o, "next_look", ours ? worlds_next_look(p) : known ? db_ms(r, STMT_POLLS, row, POLL_DUE) : INT64_MIN);
  json_text(o, "master", known && !db_null(r, STMT_POLLS, row, POLL_MASTER) ? db_str(r, STMT_POLLS, row, POLL_MASTER) : NULL);
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
    put_polls(c, o, v[i], r);
    cJSON_AddItemToObject(o, "heads", heads_of(r, v[i]->conf->name));
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

static cJSON *version_json(struct call *c, const struct db_res *r, int row)
{
  cJSON *o = cJSON_CreateObject();

  json_num(o, "version", db_num(r, 0, row, 0));
  cJSON_AddBoolToObject(o, "active", db_num(r, 0, row, 0) == call_master(c)->config_version);
  json_ms(o, "created", db_ms(r, 0, row, 1));
  json_ms(o, "activated", db_ms(r, 0, row, 2));
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
  json_text(o, "text", db_str(r, 0, 0, 3));
  call_json(c, 200, o);
}

void read_config(struct call *c)
{
  const char *version = call_query(c, "version");
  int64_t id = call_master(c)->config_version;
  struct db_tx *tx;

  if (version && str_number(version, strlen(version), &id)) {
    call_error(c, 400, "bad_request", NULL, "version is a number");
    return;
  }
  tx = call_tx(c);
  db_q(tx, SQL_api_config, "n", id);
  call_ask(c, tx, got_config);
}

static void got_history(struct call *c, const struct db_res *r)
{
  const struct page *p = call_data(c, sizeof *p);
  cJSON *body = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(body, "items");
  int n = db_rows(r, 0);

  for (int i = 0; i < n; i++) {
    cJSON *o = version_json(c, r, i);
    json_num(o, "size", db_num(r, 0, i, 3));
    cJSON_AddItemToArray(items, o);
  }
  json_ms(body, "next", n && n == p->limit ? db_num(r, 0, n - 1, 0) : INT64_MIN);
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

/* ---- the files ---- */

void read_config_diff(struct call *c)
{
  struct master *m = call_master(c);
  struct conf_diff diff;
  int count;
  char *text;
  struct conf *next = reload_look(m, &diff, &text, &count);
  cJSON *o = cJSON_CreateObject();

  json_num(o, "version", m->config_version);
  cJSON_AddBoolToObject(o, "valid", next != NULL);
  json_num(o, "count", count);
  json_text(o, "diagnostics", text);
  cJSON_AddItemToObject(o, "changes", conf_json_diff(&diff));
  conf_diff_free(&diff);
  conf_free(next);
  free(text);
  call_json(c, 200, o);
}
