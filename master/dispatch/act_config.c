/* Activating the configuration that is on disk. */
#include "master/core/master.h"
#include "master/core/reload.h"
#include "master/dispatch/actions_int.h"
#include "master/dispatch/conf_json.h"

static void answered(const struct reload_answer *r, void *arg)
{
  struct acting *a = arg;
  cJSON *json;

  if (!r->refused) {
    json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "version", (double)r->version);
    cJSON_AddItemToObject(json, "changes", conf_json_diff(r->diff));
    acting_done(a, 200, json);
  } else if (r->refused->err == ERR_SYNTAX) {
    acting_fail(a, 400, "bad_config", r->refused->text, "the configuration has %d error%s: version %lld stays", r->refused->count, r->refused->count == 1 ? "" : "s", (long long)r->version);
  } else if (r->refused->err == ERR_AWAY) {
    acting_fail(a, 503, "database_away", "try again in a moment; drover status tells more", "the database is away: configuration %lld stays", (long long)r->version);
  } else {
    acting_fail(a, 500, "internal", "the master's log has the details", "the database refused this: configuration %lld stays", (long long)r->version);
  }
}

void act_config_activate(struct acting *a)
{
  reload_ask(a->m->reload, a->who, answered, a);
}
