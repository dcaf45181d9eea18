/* A difference between two configurations as JSON. */
#include "master/dispatch/conf_json.h"

#include "master/conf/conf_diff.h"

static void add_pipeline(cJSON *o, const struct pipeline *p)
{
  cJSON *builders, *schedulers;

  if (!p) {
    cJSON_AddNullToObject(o, "builders");
    cJSON_AddNullToObject(o, "schedulers");
    return;
  }
  builders = cJSON_AddArrayToObject(o, "builders");
  for (int i = 0; i < p->nbuilders; i++)
    cJSON_AddItemToArray(builders, cJSON_CreateString(p->builders[i].name));
  schedulers = cJSON_AddArrayToObject(o, "schedulers");
  for (int i = 0; i < p->nschedulers; i++)
    cJSON_AddItemToArray(schedulers, cJSON_CreateString(p->schedulers[i].name));
}

cJSON *conf_json_diff(const struct conf_diff *d)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < d->n; i++) {
    const struct conf_change *c = &d->v[i];
    cJSON *o = cJSON_CreateObject(), *keys;
    cJSON_AddStringToObject(o, "what", conf_what_name(c->what));
    cJSON_AddStringToObject(o, "kind", c->kind);
    cJSON_AddStringToObject(o, "name", c->name);
    keys = cJSON_AddArrayToObject(o, "keys");
    for (int k = 0; k < c->nkeys; k++)
      cJSON_AddItemToArray(keys, cJSON_CreateString(c->keys[k]));
    if (c->project)
      add_pipeline(o, c->project->pipeline);
    cJSON_AddItemToArray(list, o);
  }
  return list;
}
