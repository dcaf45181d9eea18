/* Activating the configuration that is on disk, or an older version. */
#include "master/core/master.h"
#include "master/core/reload.h"
#include "master/dispatch/actions_int.h"
#include "master/dispatch/conf_json.h"

#include <string.h>

static void add_origin(cJSON *json, const struct master *m)
{
  const struct reload_hold *h = reload_held(m->reload);

  if (h->origin)
    cJSON_AddNumberToObject(json, "origin", (double)h->origin);
  else
    cJSON_AddNullToObject(json, "origin");
}

static void refused(struct acting *a, const struct reload_refusal *r, long long version)
{
  int n = (int)strcspn(r->text, "\n");

  switch (r->err) {
  case ERR_SYNTAX: acting_fail(a, 400, "bad_config", r->text, "the configuration has %d error%s: version %lld stays", r->count, r->count == 1 ? "" : "s", version); break;
  case ERR_AWAY: acting_fail(a, 503, "database_away", "try again in a moment; drover status tells more", "the database is away: configuration %lld stays", version); break;
  case ERR_NOTFOUND: acting_fail(a, 404, "not_found", "drover config history shows all", "%.*s", n, r->text); break;
  case ERR_BADARG:
  case ERR_EXISTS: acting_fail(a, 409, "conflict", "drover config history shows all", "%.*s", n, r->text); break;
  default: acting_fail(a, 500, "internal", "the master's log has the details", "the database refused this: configuration %lld stays", version);
  }
}

static void answered(const struct reload_answer *r, void *arg)
{
  struct acting *a = arg;
  cJSON *json;

  if (r->refused) {
    refused(a, r->refused, (long long)r->version);
    return;
  }
  json = cJSON_CreateObject();
  cJSON_AddNumberToObject(json, "version", (double)r->version);
  add_origin(json, a->m);
  cJSON_AddItemToObject(json, "changes", conf_json_diff(r->diff));
  acting_done(a, 200, json);
}

void act_config_activate(struct acting *a)
{
  reload_ask(a->m->reload, RELOAD_ACTIVATE, a->who, 0, answered, a);
}

void act_config_rollback(struct acting *a, const cJSON *args)
{
  const cJSON *version = cJSON_GetObjectItemCaseSensitive(args, "version");

  if (!cJSON_IsNumber(version) || version->valuedouble < 1 || version->valuedouble > (double)(INT64_C(1) << 53))
    acting_fail(a, 400, "bad_request", "drover config history shows all", "\"version\" is the number of a version of the configuration");
  else
    reload_ask(a->m->reload, RELOAD_ROLLBACK, a->who, (int64_t)version->valuedouble, answered, a);
}
